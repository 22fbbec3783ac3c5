"""Deferral: which errors are transient for a drop, and after how many seconds to try again."""

import logging
from collections.abc import Callable
from datetime import datetime

from function_app.domain.messages import DeferrableMessage
from function_app.errors import TrainingServiceUnavailable
from function_app.ports.clock import Clock
from function_app.store.deletions import BeingDeleted
from function_app.store.receipts import ReceiptBusy
from function_app.store.snapshots import CopyPending, SourceChanged, UnreadableSnapshot
from function_app.timing import Timing

logger = logging.getLogger(__name__)

TRANSIENT_ERRORS = (SourceChanged, CopyPending, ReceiptBusy, TrainingServiceUnavailable, UnreadableSnapshot)


def run_or_defer[R: DeferrableMessage](
    request: R, work: Callable[[R], object], send: Callable[[R, float], None], *, clock: Clock, timing: Timing
) -> None:
    """Process a message; after a transient error, send it again with a delay in seconds."""
    try:
        work(request)
    except TRANSIENT_ERRORS as reason:
        logger.info("%s", reason)
        if request.again:
            send(*defer(request, reason, clock(), timing))


def defer[R: DeferrableMessage](request: R, reason: Exception, now: datetime, timing: Timing) -> tuple[R, float]:
    """Return the message to send again, and the delay in seconds. Raise the reason after the deadline.

    The message then fails, and is kept as poison and noted on its receipt.
    """
    since = request.since or now
    if timing.blocked_retry.is_over(since, now):
        raise reason
    following = request.replace(tries=request.tries + 1, since=since)
    name = request.model_dump_json(exclude={"tries", "since"})
    return following, retry_delay(reason, request.tries, of=name, timing=timing)


def retry_delay(reason: Exception, tries: int, *, of: str, timing: Timing) -> float:
    """Return the delay in seconds until the next try, which grows with `tries`. `of` seeds the jitter."""
    if isinstance(reason, BeingDeleted):
        return timing.paused_check
    if isinstance(reason, TrainingServiceUnavailable):
        return timing.outage_retry.delay(tries, of, retry_after=reason.retry_after)
    return timing.blocked_retry.delay(tries, of)
