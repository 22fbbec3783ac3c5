"""Pages of model versions, for one page of which few models are asked for, however many there are."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import batched

from attrs import frozen

from function_app.http.paging.position import Position
from function_app.ports.training_service import JOB_TAG, ModelVersion, TrainingService

MOST_ASKED = 128
"""How many models one page asks for at most. A page that ends there may have few versions, or none."""
_AFTER_ALL = "9" * 19
"""What comes after every version of a model."""


@frozen(kw_only=True)
class ModelPage:
    """Versions in their order, and where to read on, or None at the end."""

    versions: Sequence[ModelVersion]
    end: Position | None


def model_page(
    training: TrainingService,
    models: Sequence[str],
    wanted: Callable[[ModelVersion], bool],
    pool: Executor,
    *,
    limit: int,
    after: Position,
    at_once: int,
) -> ModelPage:
    """Return up to `limit` wanted versions of these models that lie behind a place, the highest of each model first."""
    last = after.last
    begin = f"{last.rpartition('/')[0]}/" if last else ""
    ordered = sorted((name for name in models if f"{name}/" >= begin), key=lambda name: f"{name}/")
    found: list[ModelVersion] = []
    for number, batch in enumerate(batched(ordered, at_once, strict=False), start=1):
        for versions in pool.map(training.models, batch):
            found += [one for one in versions if JOB_TAG in one.tags and wanted(one) and _place(one) > last]
        if len(found) > limit:
            return ModelPage(versions=found[:limit], end=Position(last=_place(found[limit - 1])))
        if number * at_once >= MOST_ASKED and batch[-1] != ordered[-1]:
            return ModelPage(versions=found, end=Position(last=f"{batch[-1]}/{_AFTER_ALL}"))
    return ModelPage(versions=found, end=None)


def _place(version: ModelVersion) -> str:
    """Return a text that sorts by model, and the highest version first."""
    return f"{version.model}/{10**18 - int(version.version):019d}"
