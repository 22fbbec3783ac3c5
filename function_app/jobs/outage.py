"""Waiting for a training service that does not answer: how long between two looks, and for how long in all."""

from datetime import datetime, timedelta

from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, Rejected, Waiting
from function_app.domain.receipt import Receipt, Status
from function_app.errors import AppNotAllowed, TrainingServiceUnavailable
from function_app.timing import Timing

REASON = "training service"
"""What such a drop waits for, on its receipt."""


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


def given_up(error: TrainingServiceUnavailable, timing: Timing) -> str:
    """Return the reason of a drop that waited for longer than the deadline."""
    return f"The training service was not available for {timing.outage_deadline / 3600:g} hours: {error}"


def plan(
    drop: Drop, receipt: Receipt | None, now: datetime, error: TrainingServiceUnavailable, timing: Timing
) -> Plan | None:
    """Return what to write on a drop's receipt while the service does not answer, or None where that says enough.

    Only a drop that nothing has been said about yet is told: whatever else a receipt says stays true meanwhile.
    """
    since = now
    if receipt is not None:
        if receipt.status is not Status.WAITING or receipt.reason != REASON:
            return None
        since = receipt.history[-1].at
    until = since + timedelta(seconds=timing.outage_deadline)
    if now >= until:
        return Rejected(
            drop=drop,
            reason=given_up(error, timing),
            what_to_do="Drop it again when the service is back.",
        )
    first = f"{error} Then" if isinstance(error, AppNotAllowed) else "Nothing:"
    return Waiting(
        drop=drop,
        what=REASON,
        what_to_do=f"{first} the service is asked again, every {timing.max_outage_check / 60:g} minutes at least, "
        f"until {until:%Y-%m-%d %H:%M} UTC. /api/health tells whether it answers.",
    )
