"""Outages of the training service: which drops wait for it, how often it is asked again, and until when."""

from datetime import datetime

from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import Receipt, Status, WaitingFor
from function_app.errors import AppNotAllowed, TrainingServiceUnavailable
from function_app.timing import Timing


def needs_polling(receipt: Receipt) -> bool:
    """Return whether a receipt waits for something that no event reports: each round of `reconcile` checks it."""
    return receipt.waits_for in (WaitingFor.COMPUTE, WaitingFor.TRAINING_SERVICE)


def waits_for_event(receipt: Receipt) -> bool:
    """Return whether a receipt waits for something that an event reports: `reconcile` need not check it."""
    return receipt.status is Status.WAITING and not needs_polling(receipt) and not receipt.outbox


def outage_reason(error: TrainingServiceUnavailable, timing: Timing) -> str:
    """Return the reason on the receipt of a drop that waited past the deadline."""
    return f"The training service was not available for {timing.outage_retry.deadline / 3600:g} hours: {error}"


def plan(
    drop: Drop, receipt: Receipt | None, now: datetime, error: TrainingServiceUnavailable, timing: Timing
) -> Plan | None:
    """Return what to write on a drop's receipt while the service does not answer, or None to leave it as it is.

    Only new drops and those that already wait for the service get a plan: what other receipts say stays true.
    """
    since = now
    if receipt is not None:
        if receipt.waits_for is not WaitingFor.TRAINING_SERVICE:
            return None
        since = receipt.history[-1].at
    policy = timing.outage_retry
    if policy.is_over(since, now):
        return RejectedPlan(
            drop=drop,
            reason=outage_reason(error, timing),
            what_to_do="Drop it again when the service is back.",
        )
    first = f"{error} Then" if isinstance(error, AppNotAllowed) else "Nothing:"
    minutes = f"{policy.longest / 60:g}"
    return WaitingPlan(
        drop=drop,
        what="training service",
        waiting_for=WaitingFor.TRAINING_SERVICE,
        what_to_do=f"{first} Kedja asks the service again at least every {minutes} minutes "
        f"until {policy.ends(since):%Y-%m-%d %H:%M} UTC. /api/health shows whether the service answers.",
    )
