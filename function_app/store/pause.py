"""The pause: while it is on, drops are queued instead of processed, and nothing is lost."""

from datetime import datetime
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.errors import BlobNotFound
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs


class Pause(Document):
    """`receipts/.paused`. If the blob exists, Kedja is paused; its content is for people."""

    reason: str
    by: str
    since: datetime

    @classmethod
    def of(cls, data: bytes, modified: datetime) -> Self:
        """Read the blob; text that someone wrote by hand becomes the reason."""
        try:
            return cls.from_bytes(data)
        except ValueError:
            return cls(reason=data[:500].decode("utf-8", "replace").strip(), by="somebody", since=modified)


@frozen
class Pauses:
    """The pause of an account."""

    blobs: Blobs
    clock: Clock

    def find(self) -> Pause | None:
        """Return the pause, or None if Kedja is not paused."""
        try:
            blob = self.blobs.read(naming.RECEIPTS, naming.PAUSED_BLOB)
        except BlobNotFound:
            return None
        return Pause.of(blob.data, blob.modified)

    def begin(self, reason: str, by: str) -> Pause:
        """Start a pause, or replace the reason of the current one."""
        pause = Pause(reason=reason, by=by, since=self.clock())
        self.blobs.replace(naming.RECEIPTS, naming.PAUSED_BLOB, pause.to_bytes())
        return pause

    def end(self) -> bool:
        """End the pause; return whether there was one."""
        return self.blobs.delete(naming.RECEIPTS, naming.PAUSED_BLOB)
