"""Pages of model versions. One page requests a limited number of models, however many there are."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import batched

from attrs import frozen

from function_app.http.paging.position import PageToken
from function_app.ports.training_service import JOB_TAG, ModelService, ModelVersion

MOST_ASKED = 128
"""Max models that one page requests. A page that ends there may have few versions, or none."""
_AFTER_ALL = "9" * 19
"""Sorts after every version of a model."""


@frozen(kw_only=True)
class ModelPage:
    """Versions in order, and the token of the next page, or None at the end."""

    versions: Sequence[ModelVersion]
    end: PageToken | None


def model_page(
    service: ModelService,
    models: Sequence[str],
    wanted: Callable[[ModelVersion], bool],
    pool: Executor,
    *,
    limit: int,
    after: PageToken,
    at_once: int,
) -> ModelPage:
    """Return up to `limit` wanted versions of these models after a token, the highest version of each model first."""
    last = after.last
    begin = f"{last.rpartition('/')[0]}/" if last else ""
    ordered = sorted((name for name in models if f"{name}/" >= begin), key=lambda name: f"{name}/")
    found: list[ModelVersion] = []
    for number, batch in enumerate(batched(ordered, at_once, strict=False), start=1):
        for versions in pool.map(service.models, batch):
            found += [one for one in versions if JOB_TAG in one.tags and wanted(one) and _place(one) > last]
        if len(found) > limit:
            return ModelPage(versions=found[:limit], end=PageToken(last=_place(found[limit - 1])))
        if number * at_once >= MOST_ASKED and batch[-1] != ordered[-1]:
            return ModelPage(versions=found, end=PageToken(last=f"{batch[-1]}/{_AFTER_ALL}"))
    return ModelPage(versions=found, end=None)


def _place(version: ModelVersion) -> str:
    """Return a sort key: by model, then the highest version first."""
    return f"{version.model}/{10**18 - int(version.version):019d}"
