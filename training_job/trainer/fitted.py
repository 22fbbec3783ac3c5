"""What a training has made, however it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.model_file import Target
from training_job.trainer.networks import Scaled
from training_job.trainer.preprocessing import Preprocessor


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values of training and validation by step or epoch, and the number of the kept one."""

    title: str
    training: Sequence[float]
    validation: Sequence[float]
    kept: int


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained network on the CPU, and how it is described in a model folder.

    `target` is None but for a quantity; `network` has its outputs not scaled by it. `last` has the weights of the last
    epoch, if they are kept. `metrics` are of training and validation; `history` is written to `metrics.json`.
    """

    network: Any
    architecture: str
    options: Mapping[str, Any]
    preprocessor: Preprocessor
    target: Target | None
    metrics: Mapping[str, float]
    curves: Sequence[Curve]
    history: Mapping[str, Any] = field(default_factory=dict)
    last: Mapping[str, Any] | None = None
    decision: str = ""

    @property
    def whole(self) -> Any:  # noqa: ANN401 - Chainer has no types
        """The network with its outputs in the target's units."""
        target = self.target
        return self.network if target is None else Scaled(self.network, mean=target.mean, scale=target.scale)


class Method(Protocol):
    """A way to train."""

    @property
    def is_cheap(self) -> bool:
        """Whether small data can be trained on several times, to measure the method by cross-validation."""

    def fit(self, train: Table, validation: Table | None, *, is_final: bool) -> Fitted:
        """Train, and choose by `validation` (or by a part of `train`). Metrics are logged if it `is_final`."""


def target_of(table: Table) -> Target | None:
    """Return the mean and deviation of the quantities to train on; None in a classification."""
    if table.task is Task.CLASSIFICATION:
        return None
    values = table.y.astype(np.float64)
    return Target(mean=float(values.mean()), scale=float(values.std()) or 1.0)


def scaled(table: Table, target: Target | None) -> Table:
    """Return the table with its quantities as the network is trained on them."""
    if target is None:
        return table
    y = (table.y.astype(np.float64) - target.mean) / target.scale
    return replace(table, y=y.astype(np.float32))
