"""`latest.json`: the latest drop of an experiment."""

from datetime import datetime
from typing import Self

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Order, Receipt
from function_app.ports.storage import Blobs


class LatestDrop(Document):
    """`<experiment>/latest.json`: the latest drop of an experiment. It only moves forward.

    `follows` is the previous latest drop. `newest_upload` and `listed` are those of the latest listing, even if that
    was of another drop: a retry makes an older drop the latest, but lists no files.
    """

    experiment: str
    folder: str
    drop: str
    receipt: str
    sequence: int
    newest_upload: datetime
    listed: int | None = None
    follows: str | None = None

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """Return the document for a receipt."""
        return cls(
            experiment=receipt.experiment,
            folder=receipt.folder,
            drop=receipt.drop,
            receipt=naming.receipt_blob(receipt.ref),
            sequence=receipt.sequence,
            newest_upload=receipt.newest_upload,
            listed=receipt.listed,
        )

    @classmethod
    def read(cls, blobs: Blobs, experiment: str) -> tuple[Self, str] | None:
        """Return an experiment's latest drop and the blob's ETag, or None if there is no blob.

        Raises:
            Unreadable: the blob is damaged.
        """
        return cls.read_document(blobs, naming.RECEIPTS, naming.latest_blob(experiment))

    @property
    def ref(self) -> DropRef:
        """Which drop it is."""
        return DropRef(self.experiment, self.drop)

    @property
    def order(self) -> Order:
        """The position of the drop among those of its experiment."""
        return self.sequence, self.newest_upload, self.drop

    @property
    def known(self) -> int:
        """The second, by the storage's clock, before which every written file has been listed."""
        return self.sequence if self.listed is None else self.listed

    def covers(self, receipt: Receipt) -> bool:
        """Return whether this is the receipt's drop and is up to date with the receipt."""
        return (
            (self.drop, self.sequence) == (receipt.drop, receipt.sequence)
            and self.newest_upload >= receipt.newest_upload
            and self.known >= (receipt.listed or 0)
        )

    def merge(self, new: Self) -> Self:
        """Return the later of the two, with the latest listing of either."""
        listed = max(self.known, new.listed or 0)  # without it, `sequence` may be that of a retry, which lists nothing
        known = {"newest_upload": max(self.newest_upload, new.newest_upload), "listed": listed}
        if self.order >= new.order:
            return self.model_copy(update=known)
        follows = self.follows if self.drop == new.drop else self.drop
        return new.replace(**known, follows=follows)
