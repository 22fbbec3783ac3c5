"""Intake: an event about a file schedules the settling of its experiment, at the cost of one conditional write.

A folder of a thousand files is one drop: the first event creates a marker and schedules settling after a quiet period;
later events find the marker and do nothing.
"""

import logging
from datetime import datetime
from urllib.parse import unquote

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.incoming_events import BlobCreated
from function_app.domain.messages import SettleMessage
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.ports.storage import Blobs, Queues

logger = logging.getLogger(__name__)

WATCHED = (naming.DATA, naming.SCRIPTS)
EMPTY_UNTIL_FLUSHED = "CreateFile"
"""Accounts with a hierarchical namespace create a file empty and fill it later (FlushWithClose): ignore that event."""


class PendingSettle(Document):
    """`.settling/<experiment>`: settling is scheduled after `delay` seconds, by the message with this id.

    `sent` is how often the request was sent again, and `sent_at` when that was last done.
    """

    message: str
    request: SettleMessage
    delay: float = 0.0
    sent: int = 0
    sent_at: datetime | None = None


@frozen(kw_only=True)
class Intake:
    """Receives events about blobs. `account_url` is the blob endpoint in the URLs of the events."""

    blobs: Blobs
    queues: Queues
    account_url: str
    quiet_period: float

    def on_blob_created(self, event: BlobCreated, *, message: str, delivery: int = 1) -> bool:
        """Schedule the settling of the blob's experiment; return whether this call did.

        `message` identifies the message, and `delivery` counts its deliveries.
        """
        place = self._place(event)
        if place is None:
            return False
        if naming.is_ignored(place):
            return False
        folder, _, name = place.partition("/")
        experiment = naming.slug(folder) if name else naming.ROOT_EXPERIMENT
        request = SettleMessage(experiment=experiment, folder=folder, trigger=event.id)
        return self.schedule(request, message=message, delivery=delivery, delay=self.quiet_period)

    def schedule(self, request: SettleMessage, *, message: str, delivery: int = 1, delay: float) -> bool:
        """Put a settle request on the queue unless its marker exists; return whether this call did.

        If a call is killed between the marker and the message, the redelivery finds its own id and continues.
        """
        marker = PendingSettle(message=message, request=request, delay=delay)
        try:
            created = self.blobs.create(naming.RECEIPTS, request.marker, marker.to_bytes())
        except PreconditionFailed:
            if delivery == 1 or not self._made_by(request.marker, message):
                return False
            created = None
        self.enqueue(request.replace(since=request.since or created), delay=delay)
        return True

    def look_again(self, folder: str, *, trigger: str, run: str) -> None:
        """Schedule the settling of a folder now, without an event. `run` identifies the round that found it."""
        request = SettleMessage(experiment=naming.slug(folder), folder=folder, trigger=trigger)
        self.schedule(request, message=f"{trigger}-{run}", delay=0)

    def postpone(self, request: SettleMessage, *, message: str, delay: float) -> None:
        """Put a settle request back on the queue that was processed too early.

        If a file has arrived meanwhile, its own request suffices; but it takes over `since`, so that a steady stream of
        files cannot delay settling forever.
        """
        # A redelivered message finds its own id in the marker, and continues from the step at which it was killed.
        if self.schedule(request, message=message, delivery=2, delay=delay) or request.since is None:
            return
        try:
            blob = self.blobs.read(naming.RECEIPTS, request.marker)
            marker = PendingSettle.from_bytes(blob.data)
            since = min(request.since, marker.request.since or request.since)
            told = marker.replace(request=marker.request.replace(since=since))
            self.blobs.replace(naming.RECEIPTS, request.marker, told.to_bytes(), etag=blob.etag)
        except (BlobNotFound, PreconditionFailed):
            return  # that settling has begun

    def consume_marker(self, request: SettleMessage) -> SettleMessage:
        """Delete a request's marker, so that a file that arrives from now on creates a new one.

        Return the request with the earliest time at which files began to arrive.
        """
        try:
            marker = PendingSettle.from_bytes(self.blobs.read(naming.RECEIPTS, request.marker).data)
        except BlobNotFound:
            return request
        self.blobs.delete(naming.RECEIPTS, request.marker)
        known = [since for since in (request.since, marker.request.since) if since is not None]
        return request.replace(since=min(known, default=None))

    def enqueue(self, request: SettleMessage, *, delay: float) -> None:
        """Put a settle request on the queue, regardless of markers."""
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json", exclude_none=True), delay=delay)

    def _made_by(self, name: str, message: str) -> bool:
        try:
            return PendingSettle.from_bytes(self.blobs.read(naming.RECEIPTS, name).data).message == message
        except BlobNotFound:
            return False

    def _place(self, event: BlobCreated) -> str | None:
        """Return `<folder>/<name>` of a dropped file, or None for any other event."""
        if not event.url.startswith(f"{self.account_url}/"):
            logger.warning("Refused an event about another storage account: %s", event.url.partition("?")[0][:200])
            return None
        path = unquote(event.url.removeprefix(f"{self.account_url}/"))
        container, _, place = path.partition("/")
        if container not in WATCHED or (event.api == EMPTY_UNTIL_FLUSHED and event.size == 0):
            return None
        return place
