"""What a job has logged, value by value."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class MetricPoint:
    """A value that was logged. `value` may be NaN or infinite."""

    step: int
    value: float
    time: datetime


@frozen(kw_only=True)
class RunSeries:
    """What a job has logged: the values of each metric by step, and its parameters.

    `metrics_total` is how many metrics there are, `cut` names those of which not every value was read.
    """

    series: Mapping[str, Sequence[MetricPoint]] = {}
    parameters: Mapping[str, str] = {}
    metrics_total: int = 0
    cut: Sequence[str] = ()
