"""What is told of a deletion while it goes on and after it: who, when, and which things, by their hashes.

`.deleting/<experiment>` is the intent, and keeps new drops out; `.deleted/<experiment>/<time>.json` is what stays.
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
    """The experiment is being deleted: it takes drops again when that is done."""


class State(enum.StrEnum):
    """How far a deletion is."""

    PLANNED = "planned"
    """Nobody has asked for it yet (`dry_run`)."""
    DELETING = "deleting"
    DELETED = "deleted"


class DeletedReceipt(Document):
    """A receipt that went, with the snapshot of its drop. `sha256` is the blob's, in hex."""

    drop: str
    sha256: str
    status: Status | None = None
    received_at: datetime | None = None
    jobs: tuple[str, ...] = ()

    @classmethod
    def of(cls, drop: str, data: bytes, receipt: Receipt | None) -> Self:
        """Tell of a receipt; of one that cannot be read, its hash alone."""
        return cls(
            drop=drop,
            sha256=hashlib.sha256(data).hexdigest(),
            status=receipt.status if receipt else None,
            received_at=receipt.received_at if receipt else None,
            jobs=tuple(attempt.job for attempt in receipt.attempts) if receipt else (),
        )


class DeletedModel(Document):
    """A model version whose files went; the registry has it among its archived ones. `why` says why one was kept."""

    model: str
    version: str
    job: str | None = None
    why: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.version


class Left(Document):
    """Files that are not Kedja's to delete. `size` in bytes."""

    container: str
    files: int
    size: int


class Deletion(Document):
    """What is, or was, deleted of an experiment. `at` is the storage's clock, `sequence` the same in whole seconds.

    `snapshot_files` (and their size in bytes) and `left` are what there was when it began.
    """

    version: int = 1
    experiment: str
    folder: str
    state: State
    by: str
    at: datetime
    done_at: datetime | None = None
    sequence: int
    snapshot_files: int = 0
    snapshot_size: int = 0
    left: tuple[Left, ...] = ()
    receipts: tuple[DeletedReceipt, ...] = ()
    models: tuple[DeletedModel, ...] = ()
    kept: tuple[DeletedModel, ...] = ()

    @property
    def audit(self) -> str:
        """Where it is told for good."""
        return naming.deleted_blob(self.experiment, self.at)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What a listing tells of it."""
        return {_SEQUENCE: str(self.sequence)}

    def with_receipts(self, more: Iterable[DeletedReceipt]) -> Self:
        """Return the deletion with receipts that are to go now; one that changed since counts as it is now."""
        told = {one.drop: one for one in (*self.receipts, *more)}
        return self.model_copy(update={"receipts": tuple(told.values())})

    def with_models(self, gone: Iterable[DeletedModel], kept: Iterable[DeletedModel]) -> Self:
        """Return the deletion with model versions that are to go now, or are to stay."""
        stay = {one.key: one for one in (*self.kept, *kept)}
        told = {one.key: one for one in (*self.models, *gone) if one.key not in stay}
        return self.model_copy(update={"models": tuple(told.values()), "kept": tuple(stay.values())})


def is_deleting(blobs: Blobs, experiment: str) -> bool:
    """Return whether a deletion is under way."""
    return blobs.get(naming.RECEIPTS, naming.deleting_blob(experiment)) is not None


def check_not_deleting(blobs: Blobs, experiment: str) -> None:
    """Raise BeingDeleted where a deletion is under way."""
    if is_deleting(blobs, experiment):
        raise BeingDeleted(f"The experiment {experiment} is being deleted. It takes drops again within 15 minutes.")


def deleted_before(blobs: Blobs, experiment: str) -> int | None:
    """Return until when, in whole seconds, an experiment's files belong to what was deleted; None where nothing was.

    The files themselves are their owners' and may still be there: only a later one makes them a drop again.
    """
    listing = blobs.list(naming.RECEIPTS, f".deleted/{experiment}/")
    return int(listing.items[-1].metadata[_SEQUENCE]) if listing.items else None
