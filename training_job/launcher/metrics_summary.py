"""Metrics that are added when a script has ended, so that the manifest and MLflow agree.

1. The numbers at the top level of `outputs/metrics.json`, if the script wrote it. They describe the model that was
   kept, so they override metrics that were logged earlier.
2. `accuracy` and `loss`, if the script has none, as gates use these names. `accuracy` is a held-out accuracy, such as
   `validation/main/accuracy` of Chainer's Evaluator; `loss` is `main/loss`. Names that differ only in case (`Accuracy`)
   count too.
"""

import json
import logging
import math
from collections.abc import Iterable
from pathlib import Path

from training_job import metrics
from training_job.launcher.run_log import Records

logger = logging.getLogger(__name__)

_MAX_BYTES = 1 << 20


def add(records: Records, outputs: Path) -> None:
    """Record the missing values, each with the last step of its metric. `outputs` is the job's output folder."""
    steps = {metric.name: metric.step for metric in records.metrics}
    latest = records.latest()
    for name, value in _written(outputs / "metrics.json").items():
        if latest.get(name) != value:
            metrics.log({name: value}, step=steps.get(name))
        latest[name] = value
    for name, source in (("accuracy", _accuracy(latest)), ("loss", _loss(latest))):
        if name not in latest and source is not None:
            metrics.log({name: latest[source]}, step=steps.get(source))


def _written(path: Path) -> dict[str, float]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            logger.warning("outputs/metrics.json is longer than %d bytes and is not read", _MAX_BYTES)
            return {}
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("outputs/metrics.json cannot be read and is ignored: %s", error)
        return {}
    if not isinstance(document, dict):
        logger.warning("outputs/metrics.json is not an object and is ignored")
        return {}
    return {name: float(value) for name, value in document.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False  # an integer of hundreds of digits


def _accuracy(names: Iterable[str]) -> str | None:
    same = _only(name for name in names if name.lower() == "accuracy")
    if same is not None or "validation/main/accuracy" in names:
        return same or "validation/main/accuracy"
    return _only(name for name in names if "validation" in name.split("/") and name.endswith("/accuracy"))


def _loss(names: Iterable[str]) -> str | None:
    same = _only(name for name in names if name.lower() == "loss")
    return same or ("main/loss" if "main/loss" in names else None)


def _only(names: Iterable[str]) -> str | None:
    found = list(names)
    return found[0] if len(found) == 1 else None
