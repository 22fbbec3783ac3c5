"""How long recovery takes, by kind of fault, with the real host's timings: one fault for each experiment.

The lease of a message in process is ten minutes, a failed message comes again after thirty seconds, reconcile runs
every five minutes, the quiet period is ten seconds, and clients of storage wait as they do in Azure.

There are two waves, each on a stack of its own, all at once. In the first no host is killed, and each experiment has to
be over within the limit. In the second each has a host killed: what that host had in hand of the others is invisible
for ten minutes, so that none has one fault only. Their times are told and not judged; what came of them is. One kill
alone is what `tests/unit/test_recovery.py` measures.
"""

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from rich.table import Table

from tests.end_to_end.faults.pace import REAL
from tests.end_to_end.faults.run import Outcome, run
from tests.end_to_end.faults.schedule import EventFaults, Fault, Plot, Schedule, Side

LIMIT = 600.0
"""Seconds within which any single fault is to be over."""
_PATIENCE = 1200.0
_KILL = "kill the host"


@frozen(kw_only=True)
class Case:
    """A fault, in words, and the schedule that has it alone."""

    name: str
    schedule: Schedule

    @property
    def kills_a_host(self) -> bool:
        return any(fault.kind == _KILL for fault in self.schedule.faults)


@frozen(kw_only=True)
class Measurement:
    """What came of a case."""

    case: Case
    outcome: Outcome

    @property
    def is_good(self) -> bool:
        return self.outcome.is_good and (self.case.kills_a_host or self.outcome.seconds < LIMIT)


def cases() -> list[Case]:
    faults: list[tuple[str, Fault | None, EventFaults]] = [
        ("no fault", None, EventFaults()),
        ("every event lost", None, EventFaults(lost=1.0)),
        ("every event three times, shuffled over 30 s", None, EventFaults(copies=3, shuffle=30.0)),
    ]
    killed = {
        "the marker is made": ("/receipts/.settling/", 1),
        "the marker is taken": ("/receipts/.settling/", 4),
        "the snapshot is written": ("/snapshots/f-", 1),
        "the claim is opened": ("/receipts/.open/", 1),
        "the claim is opened again": ("/receipts/.open/", 2),
        "the claim is written": ("/receipts/f-", 2),
        "latest.json is written": ("latest.json", 2),
        "the job is submitted": ("/submit/", 1),
        "the job's answer is written": ("/submitted/", 1),
        "an event is published": ("/topics/kedja", 1),
        "the version is created": ("/registered_model/", 1),
        "a file is copied": ("/models/f-", 2),
        "the champion is written": ("champion.json", 2),
        "the lease is given back": ("comp=lease", 2),
    }
    for when, (step, n) in killed.items():
        faults += [
            (f"the host is killed {side} {when}", Fault(n=n, side=side, kind=_KILL, at=step), EventFaults())
            for side in Side
        ]
    answered = {"/submit/": "submission", "/submitted/": "a submission's answer", "/receipts/f-": "a receipt"}
    for step, what in answered.items():
        for kind in ("503", "timeout", "cut"):
            fault = Fault(n=1, side=Side.BEFORE, kind=kind, at=step)
            faults.append((f"{kind} at {what}", fault, EventFaults()))
    for kind in ("kill Azurite", "kill MLflow", "kill the runner"):
        faults.append((kind, Fault(n=1, side=Side.BEFORE, kind=kind, at="/submitted/"), EventFaults()))
    alone = [
        Case(
            name=name,
            schedule=Schedule(seed=800_000 + number, plot=Plot.ONE, faults=(fault,) if fault else (), events=events),
        )
        for number, (name, fault, events) in enumerate(faults)
    ]
    job = Schedule(seed=800_900, plot=Plot.AGAIN_AT_ONCE, faults=(), events=EventFaults(), job_deaths=(1.0,))
    return [*alone, Case(name="kill the job", schedule=job)]


def measure(state: Path) -> list[Measurement]:
    """Run every case, in two waves, and return what came of each."""
    found: list[Measurement] = []
    for kills in (False, True):
        wave = [case for case in cases() if case.kills_a_host is kills]
        schedules = [case.schedule for case in wave]
        folder = state / ("hosts-killed" if kills else "no-host-killed")
        outcomes = run(schedules, folder, pace=REAL, at_once=len(schedules), patience=_PATIENCE)
        found += [Measurement(case=case, outcome=outcome) for case, outcome in zip(wave, outcomes, strict=True)]
    return found


def report(measurements: Sequence[Measurement]) -> Table:
    """Return the times from the first file's upload to rest, in seconds."""
    table = Table(box=None, pad_edge=False)
    table.add_column("fault")
    table.add_column("seconds", justify="right")
    table.add_column("")
    for one in measurements:
        what = "; ".join(one.outcome.problems()) or ("among other kills" if one.case.kills_a_host else "")
        table.add_row(one.case.name, f"{one.outcome.seconds:.0f}", what)
    return table
