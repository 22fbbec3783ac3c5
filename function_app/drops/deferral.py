"""Looking again: what stands in the way of a drop for a while, and after how many seconds to look at it again."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from function_app.domain.backoff import backoff
from function_app.domain.document import Document
from function_app.errors import TrainingServiceUnavailable
from function_app.store.deletions import BeingDeleted
from function_app.store.receipts import Clock, ReceiptBusy
from function_app.store.snapshots import ChangedMeanwhile, CopyUnderWay, UnreadableSnapshot
from function_app.timing import Timing

logger = logging.getLogger(__name__)

REASONS = (ChangedMeanwhile, CopyUnderWay, ReceiptBusy, TrainingServiceUnavailable, UnreadableSnapshot)


class PutOff(Document):
    """A message of `settled-drops` that is put off while something stands in its way.

    `since` is when that began. Without `again` it is not put off: its sender sends another one.
    """

    tries: int = 0
    since: datetime | None = None
    again: bool = True


def or_later[R: PutOff](
    request: R, work: Callable[[R], object], send: Callable[[R, float], None], *, clock: Clock, timing: Timing
) -> None:
    """Work on a message; where something stands in its way, send it again with a delay in seconds."""
    try:
        work(request)
    except REASONS as reason:
        logger.info("%s", reason)
        if request.again:
            send(*later(request, reason, clock(), timing))


def later[R: PutOff](request: R, reason: Exception, now: datetime, timing: Timing) -> tuple[R, float]:
    """Return the message to send again, and in how many seconds. Raise the reason where it was put off for long enough.

    Then it is a message that fails, which is kept and noted where people look.
    """
    since = request.since or now
    if now - since > timedelta(seconds=timing.outage_deadline):
        raise reason
    following = request.model_copy(update={"tries": request.tries + 1, "since": since})
    name = request.model_dump_json(exclude={"tries", "since"})
    return following, delay(reason, request.tries, of=name, timing=timing)


def delay(reason: Exception, tries: int, *, of: str, timing: Timing) -> float:
    """Return in how many seconds to look again at what has this name: later each time."""
    if isinstance(reason, BeingDeleted):
        return timing.paused_check
    if isinstance(reason, TrainingServiceUnavailable):
        first, longest, asked = 2 * timing.outage_check, timing.max_outage_check, reason.retry_after
    else:
        first, longest, asked = 2 * timing.copy_check, timing.paused_check, None
    return backoff(tries, of, first=first, longest=longest, retry_after=asked)
