"""Retention: delete what has expired according to the settings, a few drops in each round of `housekeeping`.

An experiment's latest drop is never deleted, nor is a drop that is open or whose model is kept: the champion, the
rollback target, or a deployed version.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import FINAL, Receipt
from function_app.errors import BlobNotFound, PreconditionFailed, TrainingServiceError, TrainingServiceUnavailable
from function_app.models.deletion import Deleter, is_idle
from function_app.operations.rounds import RoundCursor, isolate_errors
from function_app.ports.clock import Clock
from function_app.ports.storage import BlobItem, Blobs, iter_items
from function_app.ports.training_service import RECEIPT_TAG, TrainingService
from function_app.settings import Settings
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

CURSOR = ".retention"
EXPERIMENTS_AT_ONCE = 20
DROPS_AT_ONCE = 50
"""Max drops of one experiment that a round processes."""
MODEL, SNAPSHOT, RECEIPT = "model", "snapshot", "receipt"


class Cursor(RoundCursor):
    """The experiment after which the walk continues, and the earliest time of the next walk."""

    after: str = ""
    not_before: datetime | None = None


class RetentionEntry(Document):
    """The deleted parts of a drop: receipt, snapshot, `<model>:<version>`. `sha256` is that of the receipt."""

    drop: str
    sha256: str
    parts: tuple[str, ...]


class RetentionRecord(Document):
    """`.retired/<experiment>/<time>.json`: what one round deleted because it had expired."""

    version: int = 1
    experiment: str
    at: datetime
    policy: Mapping[str, float]
    """Retention in days, by setting; 0 means forever."""
    retired: tuple[RetentionEntry, ...]


@frozen(kw_only=True)
class ExpiredDrop:
    """A drop with expired parts: model versions, its snapshot (`snapshot`), its receipt (`whole`)."""

    receipt: Receipt
    etag: str
    sha256: str
    versions: tuple[tuple[str, str], ...]
    snapshot: bool
    whole: bool

    @property
    def planned(self) -> RetentionEntry:
        """The entry with all parts that have expired."""
        parts = [*(f"{model}:{version}" for model, version in self.versions), *([SNAPSHOT] if self.snapshot else [])]
        return self.completed([*parts, *([RECEIPT] if self.whole else [])])

    def completed(self, parts: Iterable[str]) -> RetentionEntry:
        """Return the entry with the parts that were deleted."""
        return RetentionEntry(drop=self.receipt.drop, sha256=self.sha256, parts=tuple(parts))


@frozen(kw_only=True)
class Retention:
    """Deletes the expired parts of drops."""

    blobs: Blobs
    clock: Clock
    receipts: Receipts
    deleter: Deleter
    settings: Settings
    training: TrainingService

    @property
    def policy(self) -> dict[str, float]:
        """Retention in days, by setting; 0 means forever."""
        settings = self.settings
        return {
            "KEDJA_KEEP_SNAPSHOTS": settings.keep_snapshots,
            "KEDJA_KEEP_RECEIPTS": settings.keep_receipts,
            "KEDJA_KEEP_MODELS": settings.keep_models,
        }

    def run(self, until: datetime) -> None:
        """Do one round if the settings limit retention. No experiment is started after `until`, or the round's time."""
        now = self.clock()
        cursor = Cursor.load(self.blobs, CURSOR) if any(self.policy.values()) else None
        if cursor is None or (cursor.not_before and now < cursor.not_before):
            return
        left = self._experiments(cursor.after)
        for experiment in left[:EXPERIMENTS_AT_ONCE]:
            with isolate_errors(f"Expired drops of {experiment} could not be deleted", again="the next walk"):
                self._experiment(experiment)
            cursor = Cursor(after=experiment)
            if self.clock() > min(until, now + timedelta(seconds=self.settings.timing.retention_round)):
                break
        if not left or cursor.after == left[-1]:
            cursor = Cursor(not_before=now + timedelta(seconds=self.settings.timing.retention_pause))
        cursor.save(self.blobs, CURSOR)

    def _experiments(self, after: str) -> list[str]:
        """Return the experiments whose names come after this one, including that of files outside of any folder."""
        found: list[str] = []
        token: str | None = None
        while True:
            folders = self.blobs.folders(naming.RECEIPTS, size=5000, token=token)
            found += [name for name in folders.names if not name.startswith(".") and name > after]
            token = folders.token
            if token is None:
                return found

    def _experiment(self, experiment: str) -> None:
        latest = self.receipts.latest(experiment)
        if latest is None and experiment != naming.ROOT_EXPERIMENT:
            return  # its deletion or its first drop is in progress
        if self.blobs.get(naming.RECEIPTS, naming.deleting_blob(experiment)) is not None:
            return
        due: list[ExpiredDrop] = []
        for item in iter_items(self.blobs, naming.RECEIPTS, f"{experiment}/"):
            ref = DropRef.of_blob(item.name)
            if (latest is None or ref != latest.ref) and self._may_be_due(item):
                due += [one] if (one := self._due(ref)) else []
            if len(due) == DROPS_AT_ONCE:
                break
        if due:
            self._delete_expired(experiment, due)

    def _is_over(self, days: float, since: datetime) -> bool:
        return days > 0 and self.clock() - since > timedelta(days=days)

    def _may_be_due(self, item: BlobItem) -> bool:
        """Return whether parts of the drop may have expired, according to its listing; this saves reading receipts."""
        told = item.metadata
        if "received" not in told or told.get("status") not in FINAL:
            return False
        received, gone = datetime.fromisoformat(told["received"]), told.get("forgotten", "").split(",")
        if "model" in told and MODEL not in gone:
            return self._is_over(self.settings.keep_models, received)
        if SNAPSHOT not in gone and self._is_over(self.settings.keep_snapshots, received):
            return True
        return self._is_over(self.settings.keep_receipts, received)

    def _due(self, ref: DropRef) -> ExpiredDrop | None:
        """Return the expired parts of a drop, or None. Its age counts from its last change of status."""
        try:
            blob = self.blobs.read(naming.RECEIPTS, naming.receipt_blob(ref))
        except BlobNotFound:
            return None
        receipt = Receipt.from_bytes(blob.data)
        if receipt.status not in FINAL or not is_idle(receipt):
            return None
        since = receipt.history[-1].at
        versions = self._old_versions(receipt, since)
        if versions is None:
            return None
        whole = self._is_over(self.settings.keep_receipts, since)
        old = whole or self._is_over(self.settings.keep_snapshots, since)
        due = ExpiredDrop(
            receipt=receipt,
            etag=blob.etag,
            sha256=hashlib.sha256(blob.data).hexdigest(),
            versions=versions,
            snapshot=old and SNAPSHOT not in receipt.forgotten,
            whole=whole,
        )
        return due if due.planned.parts else None

    def _old_versions(self, receipt: Receipt, since: datetime) -> tuple[tuple[str, str], ...] | None:
        """Return the model versions that a drop produced and that can be deleted, or None if one must be kept."""
        model = receipt.model
        if model is None or MODEL in receipt.forgotten:
            return ()
        if not self._is_over(self.settings.keep_models, since) or self.deleter.is_champion(model.model, model.version):
            return None
        found = [one for one in self.training.models(model.model) if one.tags.get(RECEIPT_TAG) == receipt.name]
        versions = {(model.model, model.version), *((one.model, one.version) for one in found)}
        kept = any(self.deleter.keep_reason(one) for one in found)
        return (
            None if kept or any(self.deleter.is_rollback_target(*one) for one in versions) else tuple(sorted(versions))
        )

    def _delete_expired(self, experiment: str, due: list[ExpiredDrop]) -> None:
        """Record what will be deleted, delete it, and record what was deleted. An error in one drop stops no other."""
        now = self.clock()
        self._write_record(experiment, now, [one.planned for one in due])
        gone: list[list[str]] = [[] for _ in due]
        try:
            for one, parts in zip(due, gone, strict=True):
                try:
                    self._let_one_go(one, parts)
                except (BlobNotFound, PreconditionFailed) as busy:
                    logger.info("%s is kept for now: %s", one.receipt.name, busy)
                except TrainingServiceUnavailable:
                    raise  # every other drop would fail too
                except TrainingServiceError:
                    logger.exception("%s is kept; the next walk tries again.", one.receipt.name)
        finally:
            self._write_record(
                experiment, now, [one.completed(parts) for one, parts in zip(due, gone, strict=True) if parts]
            )

    def _write_record(self, experiment: str, at: datetime, retired: list[RetentionEntry]) -> None:
        """Write the record of a round, or delete it if nothing was deleted."""
        name = naming.retired_blob(experiment, at)
        if not retired:
            self.blobs.delete(naming.RECEIPTS, name)
            return
        retirement = RetentionRecord(experiment=experiment, at=at, policy=self.policy, retired=tuple(retired))
        self.blobs.replace(naming.RECEIPTS, name, retirement.to_bytes())

    def _let_one_go(self, due: ExpiredDrop, gone: list[str]) -> None:
        """Delete a drop's expired parts under a lease on its receipt, so that nobody claims an attempt meanwhile.

        Each deleted part is added to `gone`.
        """
        receipt = due.receipt
        name = naming.receipt_blob(receipt.ref)
        with self.blobs.lease(naming.RECEIPTS, name, self.settings.timing.lease) as lease:
            if self.blobs.read(naming.RECEIPTS, name).etag != due.etag:
                return  # it has changed since
            for model, version in due.versions:
                if not self.deleter.delete_version(model, version):
                    return  # it became the champion in the meantime, so keep the whole drop
                gone.append(f"{model}:{version}")
                lease.renew()
            if due.snapshot:
                self.deleter.delete_snapshot(receipt.ref)
                gone.append(SNAPSHOT)
            parts = {*receipt.forgotten, *([MODEL] if due.versions else []), *([SNAPSHOT] if due.snapshot else [])}
            self.receipts.change(receipt, lambda now: now.replace(forgotten=tuple(sorted(parts))), lease=lease)
        if due.whole:
            receipt, etag = self.receipts.read(receipt.ref)
            if MODEL in receipt.forgotten or not receipt.model:
                self.deleter.delete_receipt(receipt.ref, receipt, etag=etag)
                gone.append(RECEIPT)
