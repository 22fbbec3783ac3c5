"""Ends a job whose script waits for a worker process that is dead.

A script that loses a worker may well continue, so a dead worker alone means nothing. Only if no process of the script
has used the processor since is the worker named in the log, after a minute, and the job ended, after five. Less than a
hundredth of one processor counts as none, as the threads of a Pool wake now and then. A rank that waits for another in
MPI is busy, and is not ended.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from training_job import metrics

logger = logging.getLogger(__name__)

NAMED_AFTER_SECONDS = 60.0
ENDED_AFTER_SECONDS = 300.0
POLL_SECONDS = 5.0
_KILLED_AFTER_SECONDS = 10.0
_IDLE_SHARE = 0.01
_IDLE_SECONDS = 0.05
"""Processor time that counts as none: a share of the time that passed, and a bit, as the kernel counts in ticks."""
_PROC = Path("/proc")


@dataclass(frozen=True)
class DeadWorker:
    """A process of the script that ended abnormally: its id, and its exit code, -n for signal n."""

    pid: int
    exit_code: int

    def __str__(self) -> str:
        if self.exit_code < 0:
            with suppress(ValueError):
                return f"worker process {self.pid} was ended by {signal.Signals(-self.exit_code).name}"
        return f"worker process {self.pid} ended with exit code {self.exit_code}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The processes of a script at one moment: seconds of processor time by process id, and dead workers."""

    used: Mapping[int, float]
    dead: tuple[DeadWorker, ...] = ()


class Verdict(Enum):
    """What a sample means."""

    WORKS = auto()
    STALLED = auto()
    HOPELESS = auto()


@dataclass
class StallDetector:
    """Judges samples that are taken one after another."""

    named_after: float
    ended_after: float
    _since: float = 0.0
    _before: Mapping[int, float] = field(default_factory=dict)
    _dead: frozenset[DeadWorker] = frozenset()

    def judge(self, now: float, sample: Sample) -> Verdict:
        """Return the verdict on a sample that was taken at `now`, in seconds."""
        dead = frozenset(sample.dead)
        used = sum(max(0.0, seconds - self._before.get(pid, 0.0)) for pid, seconds in sample.used.items())
        is_idle = used <= _IDLE_SECONDS + _IDLE_SHARE * (now - self._since)
        if not dead or not is_idle or dead != self._dead or sample.used.keys() - self._before.keys():
            self._since, self._before, self._dead = now, dict(sample.used), dead
            return Verdict.WORKS
        if now - self._since >= self.ended_after:
            return Verdict.HOPELESS
        return Verdict.STALLED if now - self._since >= self.named_after else Verdict.WORKS


class Watchdog:
    """Watches a script's process group in a thread, from `start` to `stop`. `reason` says why it ended the script."""

    def __init__(
        self,
        reported: Callable[[], Iterable[tuple[int, int]]],
        *,
        sample: "Callable[[int, Iterable[tuple[int, int]]], Sample] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reported` returns process id and exit code of the dead workers that the script has reported."""
        self.reason: str | None = None
        self.dead: tuple[DeadWorker, ...] = ()
        self._reported = reported
        self._sample = sample or take_sample
        self._clock = clock
        self._detector = StallDetector(NAMED_AFTER_SECONDS, ENDED_AFTER_SECONDS)
        self._is_named = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, group: int) -> None:
        """Start to watch a process group."""
        if _PROC.is_dir():
            self._thread = threading.Thread(target=self._watch, args=(group,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop watching, once the script has ended."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, group: int) -> None:
        while not self._ended.wait(POLL_SECONDS):
            if self.look(group):
                self._end(group)
                return

    def look(self, group: int) -> bool:
        """Look at the group once; return whether the script is to be ended."""
        sample = self._sample(group, self._reported())
        verdict = self._detector.judge(self._clock(), sample)
        if verdict is Verdict.WORKS:
            return False
        worker = str(sample.dead[0])
        if not self._is_named:
            self._is_named = True
            text = f"{worker}, and the script has not used the processor since: it seems to wait for that process."
            logger.warning("%s", text)
            metrics.note(text[0].upper() + text[1:])
        if verdict is Verdict.STALLED:
            return False
        self.dead = sample.dead
        self.reason = f"{worker}, and the script waited for it for {self._detector.ended_after / 60:.0f} minutes"
        return True

    def _end(self, group: int) -> None:
        for number, patience in ((signal.SIGTERM, _KILLED_AFTER_SECONDS), (signal.SIGKILL, 0.0)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
            if self._ended.wait(patience):
                return


def take_sample(group: int, reported: Iterable[tuple[int, int]]) -> Sample:
    """Return the state of the processes of a group and their descendants (Linux, proc(5))."""
    found = {pid: fields for pid in _pids() if (fields := _stat(pid)) is not None}
    members = {pid for pid, fields in found.items() if int(fields[_GROUP]) == group}
    while more := {pid for pid, fields in found.items() if int(fields[_PARENT]) in members} - members:
        members |= more
    dead = {pid: code for pid, code in reported if code}
    used = {}
    for pid in members:
        fields = found[pid]
        if fields[_STATE] == "Z":
            code = os.waitstatus_to_exitcode(int(fields[_EXIT_CODE]))
            if code and pid != group:
                dead[pid] = code
        else:
            used[pid] = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
    return Sample(used=used, dead=tuple(DeadWorker(pid, code) for pid, code in dead.items()))


_STATE, _PARENT, _GROUP, _UTIME, _STIME, _EXIT_CODE = 0, 1, 2, 11, 12, 49
"""Fields of /proc/<pid>/stat after the command's name, which is in parentheses and may contain spaces."""
_TICKS = os.sysconf("SC_CLK_TCK")


def _pids() -> list[int]:
    return [int(path.name) for path in _PROC.iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _EXIT_CODE else None
