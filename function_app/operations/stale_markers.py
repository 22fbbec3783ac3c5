"""Stale markers: markers so old that their message may have been lost."""

import contextlib
import logging
from datetime import datetime, timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.drops.intake import Intake, PendingSettle
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.operations.rounds import isolate_errors
from function_app.ports.clock import Clock
from function_app.ports.storage import BlobItem, Blobs

logger = logging.getLogger(__name__)

STALE_MARKER = 2.0
"""Age in quiet periods from which a marker counts as stale."""
SENT_AGAIN_AFTER = timedelta(minutes=10)
"""How long to wait for a message that was sent again. The wait doubles with each further message."""
LONGEST = timedelta(hours=1)
"""The max wait for a message."""


@frozen(kw_only=True)
class StaleMarkers:
    """Sends messages again that may be lost. Most only wait behind others, so the interval between messages grows."""

    blobs: Blobs
    intake: Intake
    clock: Clock

    def send_again(self, until: datetime) -> None:
        """Send the messages of stale markers again; start none after `until`."""
        listing = self.blobs.list(naming.RECEIPTS, naming.settling_blob(""))
        for item in listing.items:
            with isolate_errors(f"The message of the marker {item.name} could not be sent again"):
                self._look(item, listing.now)
            if self.clock() > until:
                break

    def _look(self, item: BlobItem, now: datetime) -> None:
        limit = timedelta(seconds=STALE_MARKER * self.intake.quiet_period)
        if now - item.modified <= limit:
            return
        try:
            blob = self.blobs.read(naming.RECEIPTS, item.name)
            marker = PendingSettle.from_bytes(blob.data)
        except BlobNotFound:
            return
        except ValidationError:
            # It would block every event of its experiment; without it, the walk finds the dropped files.
            logger.exception("%s/%s is not a valid marker: it is deleted.", naming.RECEIPTS, item.name)
            self.blobs.delete(naming.RECEIPTS, item.name, etag=item.etag)
            return
        if marker.sent_at is None:
            is_due = now - item.modified > limit + timedelta(seconds=marker.delay)
        else:
            is_due = now - marker.sent_at >= min(SENT_AGAIN_AFTER * 2 ** (min(marker.sent, 10) - 1), LONGEST)
        if is_due:
            # The marker stays: settling deletes it. A duplicate message does no harm.
            self.intake.enqueue(marker.request, delay=0)
            noted = marker.replace(sent=marker.sent + 1, sent_at=now)
            with contextlib.suppress(PreconditionFailed):  # settling has begun
                self.blobs.replace(naming.RECEIPTS, item.name, noted.to_bytes(), etag=blob.etag)
