"""Metric series: every value that a job has logged, from MLflow's REST API, which both training services speak.

Format: runs/get and metrics/get-history of https://mlflow.org/docs/latest/rest-api.html.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

HISTORY = "metrics/get-history"
ASKED_AT_ONCE = 25_000
"""Values that one call for a history asks for: the most that MLflow gives."""
_AT_ONCE = 8


@frozen(kw_only=True)
class MetricPoint:
    """A value that was logged. `value` may be NaN or infinite."""

    step: int
    value: float
    time: datetime


@frozen(kw_only=True)
class RunSeries:
    """What a job has logged: the values of each metric by step, and its parameters."""

    series: Mapping[str, Sequence[MetricPoint]] = {}
    parameters: Mapping[str, str] = {}


def series_of(run: Mapping[str, Any], history: Callable[[str], Iterable[Mapping[str, Any]]]) -> RunSeries:
    """Return the series of a run, as runs/get answers it. `history` gets every value of one metric."""
    data = run.get("data") or {}
    keys = [str(metric["key"]) for metric in data.get("metrics") or ()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        histories = list(pool.map(lambda key: list(history(key)), keys))
    return RunSeries(
        series={key: _points(values) for key, values in zip(keys, histories, strict=True)},
        parameters={str(one["key"]): str(one.get("value", "")) for one in data.get("params") or ()},
    )


def _points(values: Iterable[Mapping[str, Any]]) -> list[MetricPoint]:
    # The JSON of protocol buffers leaves out a number that is 0, and has 64-bit ones as text.
    points = [
        MetricPoint(
            step=int(value.get("step", 0)),
            value=float(value.get("value", 0.0)),
            time=datetime.fromtimestamp(int(value.get("timestamp", 0)) / 1000, UTC),
        )
        for value in values
    ]
    return sorted(points, key=lambda point: (point.step, point.time))
