"""Retention: what has been kept for as long as the settings say goes, a little in each round of `reconcile`.

The latest drop of an experiment is never touched, nor one that is open or whose model is kept: the champion, the
one that a rollback would go back to, and what is deployed.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import FINAL, Receipt
from function_app.errors import BlobNotFound, PreconditionFailed, TrainingServiceError, TrainingServiceUnavailable
from function_app.models.deletion import Remover, is_idle
from function_app.operations.rounds import apart
from function_app.ports.storage import BlobItem, Blobs, pages
from function_app.ports.training_service import RECEIPT_TAG, TrainingService
from function_app.settings import Settings
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

CURSOR = ".retention"
EXPERIMENTS_AT_ONCE = 20
DROPS_AT_ONCE = 50
"""Drops of one experiment that a round works on at most."""
MODEL, SNAPSHOT, RECEIPT = "model", "snapshot", "receipt"


class Cursor(Document):
    """Where the walk over experiments goes on, and not before when."""

    after: str = ""
    not_before: datetime | None = None


class Retired(Document):
    """What went of a drop: `parts` are among receipt, snapshot and `<model>:<version>`. `sha256` is the receipt's."""

    drop: str
    sha256: str
    parts: tuple[str, ...]


class Retirement(Document):
    """`.retired/<experiment>/<time>.json`: what went in one round because its time was over."""

    version: int = 1
    experiment: str
    at: datetime
    policy: Mapping[str, float]
    """Days that things are kept, by setting; 0 is for ever."""
    retired: tuple[Retired, ...]


@frozen(kw_only=True)
class _Due:
    """A drop of which something is to go now: model versions, its snapshot, its receipt."""

    receipt: Receipt
    etag: str
    sha256: str
    versions: tuple[tuple[str, str], ...]
    snapshot: bool
    whole: bool

    @property
    def told(self) -> Retired:
        parts = [*(f"{model}:{version}" for model, version in self.versions), *([SNAPSHOT] if self.snapshot else [])]
        return self.gone([*parts, *([RECEIPT] if self.whole else [])])

    def gone(self, parts: Iterable[str]) -> Retired:
        return Retired(drop=self.receipt.drop, sha256=self.sha256, parts=tuple(parts))


@frozen(kw_only=True)
class Retention:
    """Lets go of what has been kept long enough."""

    blobs: Blobs
    receipts: Receipts
    remover: Remover
    settings: Settings
    training: TrainingService

    @property
    def policy(self) -> dict[str, float]:
        settings = self.settings
        return {
            "KEDJA_KEEP_SNAPSHOTS": settings.keep_snapshots,
            "KEDJA_KEEP_RECEIPTS": settings.keep_receipts,
            "KEDJA_KEEP_MODELS": settings.keep_models,
        }

    def run(self, until: datetime) -> None:
        """Do one round, where the settings ask for any. No experiment is begun after `until`, or its own time."""
        now = self.receipts.clock()
        cursor = self._cursor() if any(self.policy.values()) else None
        if cursor is None or (cursor.not_before and now < cursor.not_before):
            return
        left = self._experiments(cursor.after)
        for experiment in left[:EXPERIMENTS_AT_ONCE]:
            with apart(f"What is old of {experiment} could not be let go", again="the next walk"):
                self._experiment(experiment)
            cursor = Cursor(after=experiment)
            if self.receipts.clock() > min(until, now + timedelta(seconds=self.settings.timing.retention_round)):
                break
        if not left or cursor.after == left[-1]:
            cursor = Cursor(not_before=now + timedelta(seconds=self.settings.timing.retention_pause))
        self.blobs.replace(naming.RECEIPTS, CURSOR, cursor.encoded())

    def _experiments(self, after: str) -> list[str]:
        """Return the experiments whose names come after this one, and the place of files outside of any."""
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
            return  # it is being deleted, or its first drop is being written
        if self.blobs.get(naming.RECEIPTS, naming.deleting_blob(experiment)) is not None:
            return
        due: list[_Due] = []
        for item in (item for page in pages(self.blobs, naming.RECEIPTS, f"{experiment}/") for item in page):
            drop = item.name.rpartition("/")[2].removesuffix(".json")
            if (latest is None or drop != latest.drop) and self._may_be_due(item):
                due += [one] if (one := self._due(experiment, drop)) else []
            if len(due) == DROPS_AT_ONCE:
                break
        if due:
            self._let_go(experiment, due)

    def _is_over(self, days: float, since: datetime) -> bool:
        return days > 0 and self.receipts.clock() - since > timedelta(days=days)

    def _may_be_due(self, item: BlobItem) -> bool:
        """Return what a listing tells: whether something of the drop could be due, so that few receipts are read."""
        told = item.metadata
        if "received" not in told or told.get("status") not in FINAL:
            return False
        received, gone = datetime.fromisoformat(told["received"]), told.get("forgotten", "").split(",")
        if "model" in told and MODEL not in gone:
            return self._is_over(self.settings.keep_models, received)
        if SNAPSHOT not in gone and self._is_over(self.settings.keep_snapshots, received):
            return True
        return self._is_over(self.settings.keep_receipts, received)

    def _due(self, experiment: str, drop: str) -> _Due | None:
        """Return what of a drop is to go, or None where nothing is. Its age is that of its last change of status."""
        try:
            blob = self.blobs.read(naming.RECEIPTS, naming.receipt_blob(experiment, drop))
        except BlobNotFound:
            return None
        receipt = Receipt.decoded(blob.data)
        if receipt.status not in FINAL or not is_idle(receipt):
            return None
        since = receipt.history[-1].at
        versions = self._old_versions(receipt, since)
        if versions is None:
            return None
        whole = self._is_over(self.settings.keep_receipts, since)
        old = whole or self._is_over(self.settings.keep_snapshots, since)
        due = _Due(
            receipt=receipt,
            etag=blob.etag,
            sha256=hashlib.sha256(blob.data).hexdigest(),
            versions=versions,
            snapshot=old and SNAPSHOT not in receipt.forgotten,
            whole=whole,
        )
        return due if due.told.parts else None

    def _old_versions(self, receipt: Receipt, since: datetime) -> tuple[tuple[str, str], ...] | None:
        """Return the model versions that came of a drop and may go, or None where one is kept."""
        model = receipt.model
        if model is None or MODEL in receipt.forgotten:
            return ()
        if not self._is_over(self.settings.keep_models, since) or self.remover.is_champion(model.model, model.version):
            return None
        found = [one for one in self.training.models(model.model) if one.tags.get(RECEIPT_TAG) == receipt.name]
        versions = {(model.model, model.version), *((one.model, one.version) for one in found)}
        kept = any(self.remover.why_kept(one) for one in found)
        return None if kept or any(self.remover.is_next_best(*one) for one in versions) else tuple(sorted(versions))

    def _let_go(self, experiment: str, due: list[_Due]) -> None:
        """Tell what is to go, let it go, and tell what went. One drop that cannot go keeps no other."""
        now = self.receipts.clock()
        self._tell(experiment, now, [one.told for one in due])
        gone: list[list[str]] = [[] for _ in due]
        try:
            for one, parts in zip(due, gone, strict=True):
                try:
                    self._let_one_go(one, parts)
                except (BlobNotFound, PreconditionFailed) as busy:
                    logger.info("%s stays for now: %s", one.receipt.name, busy)
                except TrainingServiceUnavailable:
                    raise  # it would be the same with every other
                except TrainingServiceError:
                    logger.exception("%s stays; the next walk tries again.", one.receipt.name)
        finally:
            self._tell(experiment, now, [one.gone(parts) for one, parts in zip(due, gone, strict=True) if parts])

    def _tell(self, experiment: str, at: datetime, retired: list[Retired]) -> None:
        """Write down what goes before it does, and what went after that; nothing is left where nothing did."""
        name = naming.retired_blob(experiment, at)
        if not retired:
            self.blobs.delete(naming.RECEIPTS, name)
            return
        retirement = Retirement(experiment=experiment, at=at, policy=self.policy, retired=tuple(retired))
        self.blobs.replace(naming.RECEIPTS, name, retirement.encoded())

    def _let_one_go(self, due: _Due, gone: list[str]) -> None:
        """Let a drop's parts go while nobody else can write its receipt, and so claim an attempt on them.

        What went is added to `gone`.
        """
        receipt = due.receipt
        name = naming.receipt_blob(receipt.experiment, receipt.drop)
        with self.blobs.lease(naming.RECEIPTS, name, self.settings.timing.lease) as lease:
            if self.blobs.read(naming.RECEIPTS, name).etag != due.etag:
                return  # somebody was faster
            for model, version in due.versions:
                if not self.remover.version(model, version):
                    return  # it has become the champion meanwhile, so all of its drop stays
                gone.append(f"{model}:{version}")
                lease.renew()
            if due.snapshot:
                self.remover.snapshot(receipt.experiment, receipt.drop)
                gone.append(SNAPSHOT)
            parts = {*receipt.forgotten, *([MODEL] if due.versions else []), *([SNAPSHOT] if due.snapshot else [])}
            self.receipts.change(receipt, lambda now: now.with_(forgotten=tuple(sorted(parts))), lease=lease)
        if due.whole:
            receipt, etag = self.receipts.read(receipt.experiment, receipt.drop)
            if MODEL in receipt.forgotten or not receipt.model:
                self.remover.receipt(receipt.experiment, receipt.drop, receipt, etag=etag)
                gone.append(RECEIPT)

    def _cursor(self) -> Cursor:
        try:
            return Cursor.decoded(self.blobs.read(naming.RECEIPTS, CURSOR).data)
        except (BlobNotFound, ValidationError):  # none yet, or another release's
            return Cursor()
