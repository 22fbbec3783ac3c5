"""Metric series: every value that a job has logged, from MLflow's REST API, which both training services speak.

Format: runs/get and metrics/get-history of https://mlflow.org/docs/latest/rest-api.html. A job logs as much as it
wants, so only so many metrics and values are read, and they are kept as plain numbers.
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
"""Values that one call for a history asks for. MLflow gives up to 25,000, which take 10 MB while they are read."""
MOST_METRICS = 1000
"""Metrics of a run whose values are read: the first by their names."""
MOST_VALUES = 500_000
"""Values of a run that are read: as many of each metric as of any other, the first ones."""
_AT_ONCE = 8
_LAST_TIME = int(datetime.max.replace(tzinfo=UTC).timestamp() * 1000) - 1000
"""Milliseconds of the last time that Python knows."""


class Series(Sequence[MetricPoint]):
    """The values of one metric by step, in 24 bytes each: points are made when they are looked at."""

    def __init__(self, values: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take values as MLflow's JSON has them: a number that is 0 may be left out, and a long one be text."""
        self._steps, self._values, self._times = array("q"), array("d"), array("q")
        for value in values:
            self._steps.append(int(value.get("step", 0)))
            self._values.append(float(value.get("value", 0.0)))
            self._times.append(int(value.get("timestamp", 0)))
        if any(now > then for now, then in itertools.pairwise(zip(self._steps, self._times, strict=True))):
            # By step, then by time: two sorts, as pairs for keys would take several times the memory of the values.
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
        # A job may log with whatever time it wants.
        seconds = min(max(self._times[index], 0), _LAST_TIME) / 1000
        return MetricPoint(
            step=self._steps[index], value=self._values[index], time=datetime.fromtimestamp(seconds, UTC)
        )

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a sequence of the same points."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of a list


History = Callable[[str, int], Iterable[Mapping[str, Any]]]
"""Gets the values of one metric, this many or more: the rest is not read."""


def series_of(run: Mapping[str, Any], history: History) -> RunSeries:
    """Return the series of a run, as runs/get answers it: so many metrics and values as are read at most."""
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
