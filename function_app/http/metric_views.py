"""The response with the metrics of a job."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self

from pydantic import BaseModel

from function_app.ports.metrics import MetricPoint, RunSeries

MOST_VALUES = 100_000
"""Max values in a response, over all metrics."""


class MetricValue(BaseModel):
    """A value that a job logged; NaN and infinity are null."""

    step: int
    value: float | None
    time: datetime


class JobMetrics(BaseModel):
    """The metrics that a job has logged, each as a series by step, and the parameters of its run.

    `metrics_total` includes metrics that are left out; `cut` names the series that end before the last value.
    """

    job: str
    series: Mapping[str, Sequence[MetricValue]]
    parameters: Mapping[str, str]
    metrics_total: int
    cut: Sequence[str]

    @classmethod
    def of(cls, job: str, found: RunSeries, most: int) -> Self:
        """View what was found, with at most `most` values of each metric."""
        most = max(2, min(most, MOST_VALUES // max(1, len(found.series))))
        series = {key: [_metric_value(one) for one in _thinned(points, most)] for key, points in found.series.items()}
        total = max(found.metrics_total, len(series))
        return cls(job=job, series=series, parameters=found.parameters, metrics_total=total, cut=found.cut)


def _metric_value(point: MetricPoint) -> MetricValue:
    return MetricValue(step=point.step, value=point.value if math.isfinite(point.value) else None, time=point.time)


def _thinned(points: Sequence[MetricPoint], most: int) -> Sequence[MetricPoint]:
    """Return at most `most` of the points, evenly spread, including the first and the last."""
    if len(points) <= most:
        return points
    return [points[round(number * (len(points) - 1) / (most - 1))] for number in range(most)]
