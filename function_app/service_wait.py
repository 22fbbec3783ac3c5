"""Waiting for a training service that does not answer: how long between two looks, and for how long in all."""

from datetime import datetime, timedelta

from function_app.drop import Drop
from function_app.errors import AppNotAllowed, TrainingServiceUnavailable
from function_app.planning import Plan, Rejected, Waiting
from function_app.receipt import Receipt, Status

REASON = "training service"
"""What such a drop waits for, on its receipt."""
DEADLINE = timedelta(hours=24)
"""How long a training service may be unavailable to a drop, or to its submission, before that has failed."""
SHORTEST_WAIT, LONGEST_WAIT = 30.0, 600.0
"""Seconds between two looks at a folder: from the one to the other, twice as long each time."""


def is_asked_again(receipt: Receipt) -> bool:
    """Return whether a receipt waits for something that no event tells of, so that each round of `reconcile` looks."""
    reason = receipt.reason or ""
    return receipt.status is Status.WAITING and (reason == REASON or is_compute(reason))


def only_waits(receipt: Receipt) -> bool:
    """Return whether a receipt waits for something that an event tells of, so that nothing is to be done about it."""
    return receipt.status is Status.WAITING and not is_asked_again(receipt) and not receipt.outbox


def is_compute(what: str) -> bool:
    """Return whether what a drop waits for is a compute that does not exist."""
    return what.startswith("compute ")


def given_up(error: TrainingServiceUnavailable) -> str:
    """Return the reason of a drop that waited for longer than the deadline."""
    return f"The training service was not available for {DEADLINE.total_seconds() / 3600:.0f} hours: {error}"


def plan(drop: Drop, receipt: Receipt | None, now: datetime, error: TrainingServiceUnavailable) -> Plan | None:
    """Return what to write on a drop's receipt while the service does not answer, or None where that says enough.

    Only a drop that nothing has been said about yet is told: whatever else a receipt says stays true meanwhile.
    """
    since = now
    if receipt is not None:
        if receipt.status is not Status.WAITING or receipt.reason != REASON:
            return None
        since = receipt.history[-1].at
    until = since + DEADLINE
    if now >= until:
        return Rejected(
            drop=drop,
            reason=given_up(error),
            what_to_do="Drop it again when the service is back.",
        )
    first = f"{error} Then" if isinstance(error, AppNotAllowed) else "Nothing:"
    return Waiting(
        drop=drop,
        what=REASON,
        what_to_do=f"{first} the service is asked again, every {LONGEST_WAIT / 60:.0f} minutes at least, until "
        f"{until:%Y-%m-%d %H:%M} UTC. /api/health tells whether it answers.",
    )
