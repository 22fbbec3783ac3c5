"""The board: counts the requests about each experiment, says what befalls each, and remembers what did."""

import re
import threading
from collections import Counter

from attrs import define, field

from tests.end_to_end.faults.schedule import Fault, Place, Schedule, Side, seed_in

_RUN = re.compile(r"\b[0-9a-f]{32}\b")


@define
class Board:
    """Shared by every door and by the harness. Safe to use from several threads."""

    schedules: dict[int, Schedule] = field(factory=dict)
    injected: Counter[str] = field(factory=Counter, init=False)
    """What was done to requests and events, by kind."""
    requests: Counter[int] = field(factory=Counter, init=False)
    """Requests about each experiment."""
    told: dict[int, list[str]] = field(factory=dict, init=False)
    """What befell each experiment, in words."""
    record: dict[int, list[str]] | None = None
    """The requests themselves, by seed, where someone wants to see them."""
    _steps: Counter[tuple[int, Fault]] = field(factory=Counter, init=False)
    _runs: dict[str, int] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add(self, schedule: Schedule) -> None:
        with self._lock:
            self.schedules[schedule.seed] = schedule
            self.told[schedule.seed] = []

    def schedule_in(self, text: str) -> Schedule | None:
        """Return the schedule of the experiment that a text speaks of, by its name or by one of its MLflow runs."""
        seed = seed_in(text)
        if seed is None:
            seed = next((self._runs[run] for run in _RUN.findall(text) if run in self._runs), None)
        return None if seed is None else self.schedules.get(seed)

    def learn(self, schedule: Schedule, answer: str) -> None:
        """Remember which MLflow runs belong to an experiment: later requests name them alone."""
        for run in _RUN.findall(answer):
            self._runs.setdefault(run, schedule.seed)

    def meet(self, schedule: Schedule, place: Place, what: str) -> Fault | None:
        """Count a request and return what befalls it."""
        with self._lock:
            self.requests[schedule.seed] += 1
            n = self.requests[schedule.seed]
            met = next((fault for fault in schedule.faults if self._is_met(schedule.seed, fault, n, what)), None)
            if self.record is not None:
                self.record.setdefault(schedule.seed, []).append(f"{n} {place}: {what}")
        return met

    def _is_met(self, seed: int, fault: Fault, n: int, what: str) -> bool:
        if not fault.at:
            return fault.n == n
        if fault.at not in what:
            return False
        self._steps[seed, fault] += 1
        return self._steps[seed, fault] == fault.n

    def count(self, seed: int, kind: str) -> int:
        """Return how often something of this kind was done to an experiment."""
        with self._lock:
            return sum(what.startswith(kind) for what in self.told[seed])

    def note(self, schedule: Schedule, kind: str, what: str = "", *, side: Side | None = None) -> None:
        """Remember that something was done."""
        with self._lock:
            self.injected[kind if side is None else f"{kind}, {side}"] += 1
            self.told[schedule.seed].append(f"{kind}{f', {side}' if side else ''}: {what}".rstrip(": "))
