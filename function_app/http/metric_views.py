"""The view of what a job has logged."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel

from function_app.ports.metrics import MetricPoint, RunSeries

MOST_VALUES = 100_000
"""Values that an answer has at most, of all metrics together."""


class MetricValue(BaseModel):
    """A value that a job logged. What is no number (NaN, infinity) is null."""

    step: int
    value: float | None
    time: datetime


class JobMetrics(BaseModel):
    """What a job has logged: each metric as a series by step, and the parameters of its run.

    `metrics_total` counts the metrics that are left out too, `cut` names series that do not reach to the last value.
    """

    job: str
    series: Mapping[str, Sequence[MetricValue]]
    parameters: Mapping[str, str]
    metrics_total: int
    cut: Sequence[str]

    @classmethod
    def of(cls, job: str, found: RunSeries, most: int) -> Self:
        most = max(2, min(most, MOST_VALUES // max(1, len(found.series))))
        series = {key: [_metric_value(one) for one in _thinned(points, most)] for key, points in found.series.items()}
        total = max(found.metrics_total, len(series))
        return cls(job=job, series=series, parameters=found.parameters, metrics_total=total, cut=found.cut)


def _metric_value(point: MetricPoint) -> MetricValue:
    return MetricValue(step=point.step, value=point.value if math.isfinite(point.value) else None, time=point.time)


def _thinned(points: Sequence[MetricPoint], most: int) -> Sequence[MetricPoint]:
    """Return at most so many of the points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]
