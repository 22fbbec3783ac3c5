"""The metrics and parameters that a job has logged."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class MetricPoint:
    """A logged value. `value` may be NaN or infinite."""

    step: int
    value: float
    time: datetime


@frozen(kw_only=True)
class RunSeries:
    """The values of each metric that a job has logged, by step, and its parameters.

    `metrics_total` is the number of metrics; `cut` names the metrics of which not all values were read.
    """

    series: Mapping[str, Sequence[MetricPoint]] = {}
    parameters: Mapping[str, str] = {}
    metrics_total: int = 0
    cut: Sequence[str] = ()
