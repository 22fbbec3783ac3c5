"""Intake: an event about a file becomes a settling of its experiment, at the cost of one conditional write.

A folder of a thousand files is one drop: the first event makes a marker and schedules a look at the folder after a
quiet period; every later event finds the marker and is done.
"""

import hashlib
import logging
from datetime import datetime
from urllib.parse import unquote

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.incoming_events import BlobCreated
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.ports.storage import Blobs, Queues

logger = logging.getLogger(__name__)

WATCHED = (naming.DATA, naming.SCRIPTS)
EMPTY_UNTIL_FLUSHED = "CreateFile"
"""Accounts with folders create a file first and fill it later (FlushWithClose): the first event is too early."""


class SettleRequest(Document):
    """A message of `settled-drops`: look at the experiment's folder.

    `since` is when its files began to come, `tries` how often something else stood in the way already.
    """

    kind: str = "settle"
    experiment: str
    folder: str
    trigger: str
    since: datetime | None = None
    tries: int = 0

    @property
    def marker(self) -> str:
        """The blob that stands for this request until it is looked at.

        Files outside of any folder have nothing in common, so each has its own.
        """
        if self.experiment != naming.ROOT_EXPERIMENT:
            return naming.settling_blob(self.experiment)
        return naming.settling_blob(f"{self.experiment}-{hashlib.sha256(self.folder.encode()).hexdigest()[:16]}")


class Marker(Document):
    """`.settling/<experiment>`: a look at the folder is scheduled, in `delay` seconds, by the message with this id.

    `sent` is how often the request was sent again since, and `sent_at` when that was the last time.
    """

    message: str
    request: SettleRequest
    delay: float = 0.0
    sent: int = 0
    sent_at: datetime | None = None


@frozen(kw_only=True)
class Intake:
    """Receives what happened to blobs. `account_url` is the blob endpoint that the events speak of."""

    blobs: Blobs
    queues: Queues
    account_url: str
    quiet_period: float

    def receive(self, event: BlobCreated, *, message: str, delivery: int = 1) -> bool:
        """Schedule a look at the experiment that the blob belongs to; return whether this call did.

        `message` identifies the delivery, and `delivery` counts how often it was made.
        """
        place = self._place(event)
        if place is None:
            return False
        if naming.is_ignored(place):
            return False
        folder, _, name = place.partition("/")
        experiment = naming.slug(folder) if name else naming.ROOT_EXPERIMENT
        request = SettleRequest(experiment=experiment, folder=folder, trigger=event.id)
        return self.schedule(request, message=message, delivery=delivery, delay=self.quiet_period)

    def schedule(self, request: SettleRequest, *, message: str, delivery: int = 1, delay: float) -> bool:
        """Put a settle request on the queue unless one is there already.

        Killed between the marker and the message, the same delivery comes again, finds its own id and goes on.
        """
        marker = Marker(message=message, request=request, delay=delay)
        try:
            created = self.blobs.create(naming.RECEIPTS, request.marker, marker.encoded())
        except PreconditionFailed:
            if delivery == 1 or not self._made_by(request.marker, message):
                return False
            created = None
        self.enqueue(request.model_copy(update={"since": request.since or created}), delay=delay)
        return True

    def look_again(self, folder: str, *, trigger: str, run: str) -> None:
        """Have a folder looked at now that no event tells of. `run` identifies the round that found it."""
        request = SettleRequest(experiment=naming.slug(folder), folder=folder, trigger=trigger)
        self.schedule(request, message=f"{trigger}-{run}", delay=0)

    def postpone(self, request: SettleRequest, *, message: str, delay: float) -> None:
        """Put a settle request back that was taken too early.

        Where a file has come meanwhile, its look will do; but it is told since when files have been coming, or a
        stream of them would be waited for without end.
        """
        # Delivered again, the message finds its own id in the marker: so it goes on where it was killed.
        if self.schedule(request, message=message, delivery=2, delay=delay) or request.since is None:
            return
        try:
            blob = self.blobs.read(naming.RECEIPTS, request.marker)
            marker = Marker.decoded(blob.data)
            since = min(request.since, marker.request.since or request.since)
            told = marker.model_copy(update={"request": marker.request.model_copy(update={"since": since})})
            self.blobs.replace(naming.RECEIPTS, request.marker, told.encoded(), etag=blob.etag)
        except (BlobNotFound, PreconditionFailed):
            return  # that look has begun

    def take(self, request: SettleRequest) -> SettleRequest:
        """Take a request's marker away: a file that comes from now on makes a new one.

        Return the request with the earliest time since when files have been coming.
        """
        try:
            marker = Marker.decoded(self.blobs.read(naming.RECEIPTS, request.marker).data)
        except BlobNotFound:
            return request
        self.blobs.delete(naming.RECEIPTS, request.marker)
        known = [since for since in (request.since, marker.request.since) if since is not None]
        return request.model_copy(update={"since": min(known, default=None)})

    def enqueue(self, request: SettleRequest, *, delay: float) -> None:
        """Put a settle request on the queue whatever markers there are."""
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json", exclude_none=True), delay=delay)

    def _made_by(self, name: str, message: str) -> bool:
        try:
            return Marker.decoded(self.blobs.read(naming.RECEIPTS, name).data).message == message
        except BlobNotFound:
            return False

    def _place(self, event: BlobCreated) -> str | None:
        """Return `<folder>/<name>` of a dropped file, or None for what is not one."""
        if not event.url.startswith(f"{self.account_url}/"):
            logger.warning("Refused an event about another storage account: %s", event.url.partition("?")[0][:200])
            return None
        path = unquote(event.url.removeprefix(f"{self.account_url}/"))
        container, _, place = path.partition("/")
        if container not in WATCHED or (event.api == EMPTY_UNTIL_FLUSHED and event.size == 0):
            return None
        return place
