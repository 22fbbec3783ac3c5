"""Planted bugs: five patches, one each in settle, submit, register, outbox and cancel, that the harness has to find.

Each is applied to a copy of the tree, and the schedules that aim at it are run on that copy.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.end_to_end.faults.schedule import EventFaults, Fault, Plot, Schedule, Side

FOLDER = Path(__file__).parent / "planted"
PATIENCE = 300.0
"""Seconds after which a schedule with a bug in it is stuck."""
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


_ALL = EventFaults()
"""Every event arrives, once."""
_NONE = EventFaults(lost=1.0)
"""Only reconcile looks at the drop. Else several events are looked at at once, and who read the outbox before the
killed host emptied it publishes for that host: the bug is there, and has no effect."""


def _aimed(seed: int, plot: Plot, fault: Fault, events: EventFaults = _ALL) -> Schedule:
    return Schedule(seed=seed, plot=plot, faults=(fault,), events=events)


SCHEDULES: Mapping[str, Sequence[Schedule]] = {
    "settle": [
        _aimed(900_000, Plot.AGAIN, Fault(n=1, side=Side.AFTER, kind="kill the host", at="/receipts/.settling/")),
        _aimed(900_001, Plot.AGAIN, Fault(n=2, side=Side.BEFORE, kind="503", at="/receipts/.open/")),
    ],
    "submit": [
        _aimed(900_100, Plot.ONE, Fault(n=1, side=Side.AFTER, kind="503", at="/submitted/")),
        _aimed(900_101, Plot.ONE, Fault(n=1, side=Side.AFTER, kind="500", at="/submitted/")),
    ],
    "register": [
        _aimed(900_200, Plot.ONE, Fault(n=1, side=Side.BEFORE, kind="kill the host", at="/registered_model/")),
        _aimed(900_201, Plot.ONE, Fault(n=1, side=Side.AFTER, kind="503", at="/registered_model/")),
    ],
    "outbox": [
        _aimed(900_300 + n, Plot.ONE, Fault(n=1, side=Side.BEFORE, kind="kill the host", at=event), _NONE)
        # Several of each: on a busy machine, rounds of reconcile overlap, and one host publishes for the other.
        for n, event in enumerate(("-1-JobSubmitted", "-1-JobCompleted", "-1-ModelRegistered") * 2)
    ],
    "cancel": [
        _aimed(900_400 + n, Plot.CANCELED_RUNNING, Fault(n=1, side=Side.BEFORE, kind=kind, at="/cancel/f-"))
        for n, kind in enumerate(("503", "cut", "500"))
    ],
}
"""Schedules that find each bug, by the patch's name. Seeds stand apart from those of a run."""

SIGNS: Mapping[str, str] = {
    "settle": "receipts with jobs for the drop",
    "submit": "the latest drop is rejected",
    "register": "versions of the job",
    "outbox": "lost: the event",
    "cancel": "registered, not canceled",
}
"""What the oracle says of each bug."""


def with_bugs(source: Path, target: Path, *bugs: str) -> Path:
    """Copy what the stack runs of a tree, with bugs planted in it; return the copy.

    Raises CalledProcessError where the patch does not fit the code any more.
    """
    for package in ("function_app", "local_azure", "training_job"):
        shutil.copytree(source / package, target / package, ignore=_IGNORED)
    for file in ("app.py", "host.json"):
        shutil.copy(source / file, target)
    for bug in bugs:
        subprocess.run(["git", "apply", FOLDER / f"{bug}.patch"], cwd=target, check=True, capture_output=True)
    return target
