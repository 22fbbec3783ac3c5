"""Stale markers: those older than the messages that they stand for can be, so that these may have been lost."""

import contextlib
import logging
from datetime import datetime, timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.drops.intake import Intake, Marker
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.operations.rounds import apart
from function_app.ports.storage import BlobItem, Blobs
from function_app.store.receipts import Clock

logger = logging.getLogger(__name__)

STALE_MARKER = 2.0
"""Quiet periods after which a marker is taken for one whose message was lost."""
SENT_AGAIN_AFTER = timedelta(minutes=10)
"""How long a message is waited for that was sent once more. Each further one is waited for twice as long."""
LONGEST = timedelta(hours=1)
"""How long any message is waited for at most."""


@frozen(kw_only=True)
class StaleMarkers:
    """Sends messages again that may be lost. Most are not: they wait behind others, and one more helps nobody."""

    blobs: Blobs
    intake: Intake
    clock: Clock

    def send_again(self, until: datetime) -> None:
        """Send the messages of stale markers; begin none after `until`."""
        listing = self.blobs.list(naming.RECEIPTS, naming.settling_blob(""))
        for item in listing.items:
            with apart(f"The marker {item.name} could not be looked at"):
                self._look(item, listing.now)
            if self.clock() > until:
                break

    def _look(self, item: BlobItem, now: datetime) -> None:
        limit = timedelta(seconds=STALE_MARKER * self.intake.quiet_period)
        if now - item.modified <= limit:
            return
        try:
            blob = self.blobs.read(naming.RECEIPTS, item.name)
            marker = Marker.decoded(blob.data)
        except BlobNotFound:
            return
        except ValidationError:
            # It would keep every event of its experiment out; without it, the walk finds what was dropped.
            logger.exception("%s/%s is no marker: it is deleted.", naming.RECEIPTS, item.name)
            self.blobs.delete(naming.RECEIPTS, item.name, etag=item.etag)
            return
        if marker.sent_at is None:
            is_due = now - item.modified > limit + timedelta(seconds=marker.delay)
        else:
            is_due = now - marker.sent_at >= min(SENT_AGAIN_AFTER * 2 ** (min(marker.sent, 10) - 1), LONGEST)
        if is_due:
            # The marker stays: whoever settles deletes it. Another message for the same look does no harm.
            self.intake.enqueue(marker.request, delay=0)
            noted = marker.model_copy(update={"sent": marker.sent + 1, "sent_at": now})
            with contextlib.suppress(PreconditionFailed):  # that look has begun
                self.blobs.replace(naming.RECEIPTS, item.name, noted.encoded(), etag=blob.etag)
