"""Looking again: what stands in the way of a drop for a while, and after how many seconds to look at it again."""

from datetime import datetime

from function_app import service_wait
from function_app.deletion import BeingDeleted
from function_app.documents import Document
from function_app.errors import TrainingServiceUnavailable
from function_app.receipts import ReceiptBusy
from function_app.retrying import backoff
from function_app.snapshot import ChangedMeanwhile, CopyUnderWay

REASONS = (ChangedMeanwhile, CopyUnderWay, ReceiptBusy, TrainingServiceUnavailable)

PAUSE_CHECK = 60.0
"""Seconds between two looks at a folder while intake is paused, or its experiment is being deleted."""
COPY_CHECK = 5.0
"""Seconds until the next look, at least, where a copy is under way or someone else writes the receipt."""
UNAVAILABLE_CHECK = service_wait.SHORTEST_WAIT
"""The same where the training service does not answer."""
DEADLINE = service_wait.DEADLINE
"""How long a message is put off in all."""


class PutOff(Document):
    """A message of `settled-drops` that is put off while something stands in its way.

    `since` is when that began. Without `again` it is not put off: its sender sends another one.
    """

    tries: int = 0
    since: datetime | None = None
    again: bool = True


def later[R: PutOff](request: R, reason: Exception, now: datetime) -> tuple[R, float]:
    """Return the message to send again, and in how many seconds. Raise the reason where it was put off for long enough.

    Then it is a message that fails, which is kept and noted where people look.
    """
    since = request.since or now
    if now - since > DEADLINE:
        raise reason
    following = request.model_copy(update={"tries": request.tries + 1, "since": since})
    return following, delay(reason, request.tries, of=request.model_dump_json(exclude={"tries", "since"}))


def delay(reason: Exception, tries: int, *, of: str) -> float:
    """Return in how many seconds to look again at what has this name: later each time."""
    if isinstance(reason, BeingDeleted):
        return PAUSE_CHECK
    if isinstance(reason, TrainingServiceUnavailable):
        first, longest, asked = 2 * UNAVAILABLE_CHECK, service_wait.LONGEST_WAIT, reason.retry_after
    else:
        first, longest, asked = 2 * COPY_CHECK, PAUSE_CHECK, None
    return backoff(tries, of, first=first, longest=longest, retry_after=asked)
