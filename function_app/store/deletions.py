"""Records of deletions in progress and done: who deleted what and when, with hashes.

`.deleting/<experiment>` is the intent and blocks new drops; `.deleted/<experiment>/<time>.json` is the lasting record.
"""

import enum
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Self

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import Receipt, Status
from function_app.ports.storage import Blobs
from function_app.store.receipts import ReceiptBusy

_SEQUENCE = "sequence"


class BeingDeleted(ReceiptBusy):
    """The experiment is being deleted: it accepts drops again when that is done."""

    code = "being-deleted"
    title = "The experiment is being deleted."
    wait = 300


class DeletionState(enum.StrEnum):
    """The progress of a deletion."""

    PLANNED = "planned"
    """Not requested yet (`dry_run`)."""
    DELETING = "deleting"
    DELETED = "deleted"


class DeletedReceipt(Document):
    """A receipt that was deleted with the snapshot of its drop. `sha256` is that of the blob, in hex."""

    drop: str
    sha256: str
    status: Status | None = None
    received_at: datetime | None = None
    jobs: tuple[str, ...] = ()

    @classmethod
    def of(cls, drop: str, data: bytes, receipt: Receipt | None) -> Self:
        """Return the record of a receipt; if the receipt is unreadable, only its hash."""
        return cls(
            drop=drop,
            sha256=hashlib.sha256(data).hexdigest(),
            status=receipt.status if receipt else None,
            received_at=receipt.received_at if receipt else None,
            jobs=tuple(attempt.job for attempt in receipt.attempts) if receipt else (),
        )


class DeletedModel(Document):
    """A model version whose files were deleted and that the registry keeps as archived; or one kept, with `why`."""

    model: str
    version: str
    job: str | None = None
    why: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The model and its version."""
        return self.model, self.version


class RetainedFiles(Document):
    """Files of the user, which Kedja does not delete. `size` in bytes."""

    container: str
    files: int
    size: int


class Deletion(Document):
    """The deletion of an experiment. `at` is by the storage's clock, `sequence` the same time in whole seconds.

    `snapshot_files` (and their size in bytes) and `left` are as of the start.
    """

    version: int = 1
    experiment: str
    folder: str
    state: DeletionState
    by: str
    at: datetime
    done_at: datetime | None = None
    sequence: int
    snapshot_files: int = 0
    snapshot_size: int = 0
    left: tuple[RetainedFiles, ...] = ()
    receipts: tuple[DeletedReceipt, ...] = ()
    models: tuple[DeletedModel, ...] = ()
    kept: tuple[DeletedModel, ...] = ()

    @property
    def audit(self) -> str:
        """The blob of the permanent record."""
        return naming.deleted_blob(self.experiment, self.at)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata in listings."""
        return {_SEQUENCE: str(self.sequence)}

    def with_receipts(self, more: Iterable[DeletedReceipt]) -> Self:
        """Return the deletion with receipts to delete now; a receipt that is already recorded is updated."""
        told = {one.drop: one for one in (*self.receipts, *more)}
        return self.replace(receipts=tuple(told.values()))

    def with_models(self, gone: Iterable[DeletedModel], kept: Iterable[DeletedModel]) -> Self:
        """Return the deletion with model versions to delete now (`gone`) and to keep."""
        stay = {one.key: one for one in (*self.kept, *kept)}
        told = {one.key: one for one in (*self.models, *gone) if one.key not in stay}
        return self.replace(models=tuple(told.values()), kept=tuple(stay.values()))


def is_deleting(blobs: Blobs, experiment: str) -> bool:
    """Return whether a deletion is in progress."""
    return blobs.get(naming.RECEIPTS, naming.deleting_blob(experiment)) is not None


def check_not_deleting(blobs: Blobs, experiment: str) -> None:
    """Check that no deletion is in progress.

    Raises:
        BeingDeleted: the experiment is being deleted.
    """
    if is_deleting(blobs, experiment):
        raise BeingDeleted(f"The experiment {experiment} is being deleted. It accepts drops again within 15 minutes.")


def deleted_until(blobs: Blobs, experiment: str) -> int | None:
    """Return the time of an experiment's last deletion, in whole seconds; None if it was never deleted.

    Its files belong to their owners and may still exist: only a later file makes them a drop again.
    """
    listing = blobs.list(naming.RECEIPTS, f".deleted/{experiment}/")
    return int(listing.items[-1].metadata[_SEQUENCE]) if listing.items else None
