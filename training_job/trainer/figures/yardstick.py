"""What a model has to beat: a constant, and gradient boosting, on the same examples."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import scores

_MOST_VALUES = 4_000_000  # rows x columns x classes: more of them take boosting longer than 15 s of a processor
_LEAST = 1e-7


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """Predictions of other models: classes, int64 (N,), or quantities, float64 (N,). `boosting` None was not tried."""

    baseline: Any
    boosting: Any | None


def measure(train: Table, held_out: Table, *, seed: int) -> Yardstick:
    """Train both on the same examples as the network, and predict what it is measured with."""
    if train.task is Task.CLASSIFICATION:
        constant: Any = np.bincount(train.y).argmax()
    else:
        constant = train.y.astype(np.float64).mean()
    baseline = np.full(len(held_out), constant)
    flat, other = (table.x.reshape(len(table), -1) for table in (train, held_out))
    if flat.size * max(1, len(train.classes)) > _MOST_VALUES:
        return Yardstick(baseline=baseline, boosting=None)
    from sklearn.ensemble import (  # noqa: PLC0415 - takes a second to import: only if needed
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    kind = HistGradientBoostingClassifier if train.task is Task.CLASSIFICATION else HistGradientBoostingRegressor
    # Its threads wait for each other by spinning, which on a busy machine takes ten times the time.
    with threadpool_limits(1, user_api="openmp"):
        boosting = kind(random_state=seed).fit(flat, train.y).predict(other)
    return Yardstick(baseline=baseline, boosting=boosting)


def figure(task: Task, predicted: Any, truth: Any) -> float:  # noqa: ANN401 - arrays
    """Return the accuracy or R² of predictions."""
    return float((predicted == truth).mean()) if task is Task.CLASSIFICATION else scores.r2(predicted, truth)


def is_clearly_better(task: Task, other: Any, own: Any, truth: Any) -> bool:  # noqa: ANN401 - arrays
    """Return whether `other` predictions are better than `own` by more than the standard error of the difference."""
    if task is Task.CLASSIFICATION:
        gains: Any = (other == truth).astype(np.float64) - (own == truth)
    else:
        gains = (own - truth) ** 2 - (other - truth) ** 2
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)) + _LEAST)
