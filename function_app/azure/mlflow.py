"""Metric series: the values that a job has logged, from MLflow's REST API, which both training services have.

Format: runs/get and metrics/get-history of https://mlflow.org/docs/latest/rest-api.html. A job may log any number of
metrics and values, so only a limited number is read, and they are kept as plain numbers.
"""

import itertools
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, overload, override

from function_app.ports.metrics import MetricPoint, RunSeries

HISTORY = "metrics/get-history"
ASKED_AT_ONCE = 10_000
"""Values that one call for a history requests. MLflow returns up to 25,000, which take 10 MB while they are read."""
MOST_METRICS = 1000
"""Max metrics of a run whose values are read: the first by name."""
MOST_VALUES = 500_000
"""Max values of a run that are read: the first ones, the same number for each metric."""
_AT_ONCE = 8
_LAST_TIME = int(datetime.max.replace(tzinfo=UTC).timestamp() * 1000) - 1000
"""The last time that Python can represent, in milliseconds."""


class Series(Sequence[MetricPoint]):
    """The values of one metric by step, in 24 bytes each: points are created when they are accessed."""

    def __init__(self, values: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take values as in MLflow's JSON: a number that is 0 may be omitted, and a long one may be a string."""
        self._steps, self._values, self._times = array("q"), array("d"), array("q")
        for value in values:
            self._steps.append(int(value.get("step", 0)))
            self._values.append(float(value.get("value", 0.0)))
            self._times.append(int(value.get("timestamp", 0)))
        if any(now > then for now, then in itertools.pairwise(zip(self._steps, self._times, strict=True))):
            # By step, then by time: two sorts, as pairs as sort keys would take several times the values' memory.
            order = sorted(range(len(self._steps)), key=self._times.__getitem__)
            order.sort(key=self._steps.__getitem__)
            self._steps = array("q", map(self._steps.__getitem__, order))
            self._values = array("d", map(self._values.__getitem__, order))
            self._times = array("q", map(self._times.__getitem__, order))

    @override
    def __len__(self) -> int:
        return len(self._steps)

    @overload
    def __getitem__(self, index: int) -> MetricPoint: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[MetricPoint]: ...

    @override
    def __getitem__(self, index: int | slice) -> MetricPoint | Sequence[MetricPoint]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        # A job may log any time.
        seconds = min(max(self._times[index], 0), _LAST_TIME) / 1000
        return MetricPoint(
            step=self._steps[index], value=self._values[index], time=datetime.fromtimestamp(seconds, UTC)
        )

    def __eq__(self, other: object) -> bool:
        """Return whether the other object is a sequence of the same points."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # not hashable, like a list


History = Callable[[str, int], Iterable[Mapping[str, Any]]]
"""Returns at least this many values of one metric, if there are so many; further ones are not read."""


def series_of(run: Mapping[str, Any], history: History) -> RunSeries:
    """Return the series of a run, in the format of runs/get, up to the limits of metrics and values."""
    data = run.get("data") or {}
    keys = sorted({str(metric["key"]) for metric in data.get("metrics") or ()})
    read = keys[:MOST_METRICS]
    most = MOST_VALUES // max(1, len(read))
    cut: list[str] = []

    def series(key: str) -> Series:
        values = iter(history(key, most + 1))
        found = Series(itertools.islice(values, most))
        if next(values, None) is not None:
            cut.append(key)
        return found

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(read, pool.map(series, read), strict=True))
    return RunSeries(
        series=found,
        parameters={str(one["key"]): str(one.get("value", "")) for one in data.get("params") or ()},
        metrics_total=len(keys),
        cut=tuple(sorted(cut)),
    )
