"""Deletion of a drop's receipt and snapshot, and of model versions. Every step may be repeated."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import BlobNotFound, PreconditionFailed, StorageUnavailable
from function_app.models.artifacts import MODEL_MANIFEST
from function_app.models.champion import Champions
from function_app.ports.storage import Blobs, iter_pages
from function_app.ports.training_service import ModelVersion, TrainingService

DEPLOYED_TAG = "kedja_deployed"
"""Tag on a model version in use; its value says by what. The person who deploys it sets the tag in the registry."""

ATTEMPTS = "attempts"

_AT_ONCE = 16
_PAGE = 500
"""Blobs to list before deleting them."""
_LEASE_SECONDS = 15


def is_idle(receipt: Receipt) -> bool:
    """Return whether the receipt has no unfinished job and all its events are published."""
    over = receipt.status in FINAL or receipt.status is Status.WAITING or receipt.job is None
    return over and not receipt.outbox


def attempts_before(blobs: Blobs, ref: DropRef) -> int:
    """Return how many attempts a deleted receipt of this content had."""
    left = blobs.get(naming.RECEIPTS, naming.attempts_blob(ref))
    return int(left.metadata[ATTEMPTS]) if left else 0


@frozen(kw_only=True)
class Deleter:
    """Deletes receipts, snapshots and model versions."""

    blobs: Blobs
    champions: Champions
    training: TrainingService

    def keep_reason(self, version: ModelVersion) -> str | None:
        """Return why a model version has to be kept, or None if it may be deleted."""
        if deployed := version.tags.get(DEPLOYED_TAG):
            return f"It is deployed: its tag {DEPLOYED_TAG} is {deployed!r}."
        if self.is_champion(version.model, version.version):
            return "It is the model's champion."
        return None

    def is_champion(self, model: str, version: str) -> bool:
        """Return whether the version is the model's champion."""
        champion = self.champions.find(model)
        return champion is not None and champion.version == version

    def is_rollback_target(self, model: str, version: str) -> bool:
        """Return whether a rollback would make the version the champion."""
        champion = self.champions.find(model)
        if champion is None:
            return False
        there = (one.version for one in champion.rollback_candidates() if self._is_whole(model, one.version))
        return next(there, None) == version

    def _is_whole(self, model: str, version: str) -> bool:
        return self.blobs.get(naming.MODELS, f"{naming.model_prefix(model, version)}{MODEL_MANIFEST}") is not None

    def delete_version(self, model: str, version: str) -> bool:
        """Delete a model version's files and archive it in the registry; return False if it is the champion.

        Its manifest is deleted first: without one, the version can no longer become the champion.

        Raises:
            PreconditionFailed: Another call is deleting a version of the model at this moment.
        """
        prefix = naming.model_prefix(model, version)
        if not self._withdrawn(model, version, f"{prefix}{MODEL_MANIFEST}"):
            return False
        self.delete_prefix(naming.MODELS, prefix)
        self.training.archive_model(model, version)
        return True

    def _withdrawn(self, model: str, version: str, manifest: str) -> bool:
        """Delete a version's manifest unless it is the champion, under a lease on `champion.json`.

        The champion is rewritten unchanged: a call that read it before, and found the manifest, has to read it again.
        """
        name = naming.champion_blob(model)
        try:
            with self.blobs.lease(naming.MODELS, name, _LEASE_SECONDS) as lease:
                if self.is_champion(model, version):
                    return False
                self.blobs.delete(naming.MODELS, manifest)
                present = self.blobs.read(naming.MODELS, name).data
                self.blobs.replace(naming.MODELS, name, present, lease=lease)
        except BlobNotFound as error:
            if self.champions.find(model) is not None:
                raise StorageUnavailable(f"{naming.MODELS}/{name} was not found, and is there.") from error
            self.blobs.delete(naming.MODELS, manifest)  # no version has become the champion yet
        return True

    def delete_snapshot(self, ref: DropRef) -> None:
        """Delete a drop's snapshot."""
        self.delete_prefix(naming.SNAPSHOTS, naming.snapshot_prefix(ref))

    def delete_receipt(self, ref: DropRef, receipt: Receipt | None, *, etag: str) -> None:
        """Delete a receipt after its index entries: only the receipt says where those are.

        Raises:
            PreconditionFailed: The receipt has changed since it was read.
        """
        if receipt is not None:
            if receipt.attempt is not None:
                before = {ATTEMPTS: str(receipt.attempt.number)}
                self.blobs.replace(naming.RECEIPTS, naming.attempts_blob(ref), b"", metadata=before)
            self.blobs.delete(naming.RECEIPTS, naming.by_time_blob(receipt.received_at, ref))
        self.blobs.delete(naming.RECEIPTS, naming.open_blob(ref))
        try:
            self.blobs.delete(naming.RECEIPTS, naming.receipt_blob(ref), etag=etag)
        except PreconditionFailed:
            # An attempt may have been claimed meanwhile, and its mark was just deleted.
            self.blobs.replace(naming.RECEIPTS, naming.open_blob(ref), b"")
            raise

    def delete_requests(self, experiment: str, *, until: datetime) -> None:
        """Delete the requests that events made before that time, by the storage's clock."""
        self.delete_prefix(naming.SNAPSHOTS, naming.requests_prefix(experiment), until=until)

    def delete_prefix(self, container: str, prefix: str, *, until: datetime | None = None) -> None:
        """Delete every blob below a prefix, or those last written before `until`."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for page in iter_pages(self.blobs, container, prefix, size=_PAGE):
                due = [item for item in page.items if until is None or item.modified < until]
                list(pool.map(lambda item: self.blobs.delete(container, item.name), due))
