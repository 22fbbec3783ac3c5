"""The pause: while it is on, drops queue up and nothing is lost, and no drop is taken."""

from datetime import datetime
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.errors import BlobNotFound
from function_app.ports.storage import Blobs
from function_app.store.receipts import Clock, utc_now


class Pause(Document):
    """`receipts/.paused`. The blob's being there is the pause; what it says is for people."""

    reason: str
    by: str
    since: datetime

    @classmethod
    def of(cls, data: bytes, modified: datetime) -> Self:
        """Read the blob; one that somebody wrote by hand says what it says."""
        try:
            return cls.decoded(data)
        except ValueError:
            return cls(reason=data[:500].decode("utf-8", "replace").strip(), by="somebody", since=modified)


@frozen
class Pauses:
    """The pause of an account."""

    blobs: Blobs
    clock: Clock = utc_now

    def find(self) -> Pause | None:
        try:
            blob = self.blobs.read(naming.RECEIPTS, naming.PAUSED_BLOB)
        except BlobNotFound:
            return None
        return Pause.of(blob.data, blob.modified)

    def begin(self, reason: str, by: str) -> Pause:
        """Pause, or give a pause that is on another reason."""
        pause = Pause(reason=reason, by=by, since=self.clock())
        self.blobs.replace(naming.RECEIPTS, naming.PAUSED_BLOB, pause.encoded())
        return pause

    def end(self) -> bool:
        """Go on; return whether there was a pause."""
        return self.blobs.delete(naming.RECEIPTS, naming.PAUSED_BLOB)
