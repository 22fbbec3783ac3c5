"""`latest.json`: which drop of an experiment is its newest."""

from datetime import datetime
from typing import Self

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import Order, Receipt
from function_app.ports.storage import Blobs


class Latest(Document):
    """`<experiment>/latest.json`: which drop of an experiment is the newest. It only moves forward.

    `follows` is the drop that was the latest before. `newest_upload` and `listed` are those of the latest listing, also
    where that was another drop's: an older drop that is tried again is the latest, and knows no more files for that.
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
        """Return what a receipt would have it say."""
        return cls(
            experiment=receipt.experiment,
            folder=receipt.folder,
            drop=receipt.drop,
            receipt=naming.receipt_blob(receipt.experiment, receipt.drop),
            sequence=receipt.sequence,
            newest_upload=receipt.newest_upload,
            listed=receipt.listed,
        )

    @classmethod
    def read(cls, blobs: Blobs, experiment: str) -> tuple[Self, str] | None:
        """Return an experiment's latest drop and the blob's ETag, or None where there is none.

        Raises:
            Unreadable: where what lies there is broken.
        """
        return cls.found(blobs, naming.RECEIPTS, naming.latest_blob(experiment))

    @property
    def order(self) -> Order:
        return self.sequence, self.newest_upload, self.drop

    @property
    def known(self) -> int:
        """The second of the storage's clock before which all that was written has been listed."""
        return self.sequence if self.listed is None else self.listed

    def covers(self, receipt: Receipt) -> bool:
        """Return whether this says all that the receipt would have it say."""
        return (
            (self.drop, self.sequence) == (receipt.drop, receipt.sequence)
            and self.newest_upload >= receipt.newest_upload
            and self.known >= (receipt.listed or 0)
        )

    def or_newer(self, new: Self) -> Self:
        """Return which of two is the latest, with what either knows of the files."""
        listed = max(self.known, new.listed or 0)  # the sequence of one without is that of a retry, which lists nothing
        known = {"newest_upload": max(self.newest_upload, new.newest_upload), "listed": listed}
        if self.order >= new.order:
            return self.model_copy(update=known)
        follows = self.follows if self.drop == new.drop else self.drop
        return new.model_copy(update={**known, "follows": follows})
