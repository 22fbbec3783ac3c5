"""Experiments as a whole: list and delete them.

From the start of a deletion, new drops are refused. What exists is deleted once everything that was in progress at
the start has ended. `housekeeping` does that, and continues after a crash.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from attrs import evolve, frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import BlobNotFound, KedjaError, NotFound, PreconditionFailed, Refused
from function_app.models.deletion import Deleter, is_idle
from function_app.operations.experiment_models import ExperimentModels
from function_app.operations.job_commands import JobCommands
from function_app.operations.rounds import isolate_errors
from function_app.ports.clock import Clock, time_after
from function_app.ports.storage import MAX_LIST_PAGE, BlobItem, Blobs, Folders, iter_items, iter_pages
from function_app.ports.training_service import TrainingService
from function_app.store.deletions import DeletedModel, DeletedReceipt, Deletion, DeletionState, RetainedFiles
from function_app.store.latest_drop import LatestDrop
from function_app.store.receipts import Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)

BATCH = 100
_READS = 16
_LATEST = "latest.json"


@frozen(kw_only=True)
class DeletionPlan:
    """What a deletion would do: the deletion itself, how many receipts it concerns, and the unfinished jobs."""

    deletion: Deletion
    receipts: int
    live: Sequence[str]


@frozen(kw_only=True)
class Experiments:
    """The experiments of an account."""

    blobs: Blobs
    clock: Clock
    job_commands: JobCommands
    receipts: Receipts
    deleter: Deleter
    training: TrainingService
    timing: Timing

    def page(self, *, token: str | None = None) -> Folders:
        """Return a page of the experiments' names, in alphabetical order. One call to storage."""
        folders = self.blobs.folders(naming.RECEIPTS, size=MAX_LIST_PAGE, token=token)
        return evolve(folders, names=[name for name in folders.names if not name.startswith((".", "_"))])

    def deleting(self) -> set[str]:
        """Return the experiments that are being deleted."""
        prefix = naming.deleting_blob("")
        return {item.name.removeprefix(prefix) for item in iter_items(self.blobs, naming.RECEIPTS, prefix)}

    def active_deletion(self, experiment: str) -> Deletion | None:
        """Return the deletion of an experiment that is in progress, or None."""
        try:
            return Deletion.from_bytes(self.blobs.read(naming.RECEIPTS, naming.deleting_blob(experiment)).data)
        except BlobNotFound:
            return None

    def plan(self, experiment: str, *, by: str) -> DeletionPlan:
        """Return what a deletion would do, according to the listings of receipts and models.

        Raises:
            NotFound: there is no such experiment.
        """
        plan = self._plan(experiment, by)
        found = self._models(experiment).of(self.models(experiment))
        return evolve(plan, deletion=_with(plan.deletion, found))

    def models(self, experiment: str) -> Collection[str]:
        """Return the models that an experiment's drops name, according to the listing of its receipts."""
        return self._models(experiment).listed(self._receipts(experiment))

    def _plan(self, experiment: str, by: str) -> DeletionPlan:
        """Return the plan without its models."""
        latest = self.receipts.latest(experiment)
        if latest is None:
            raise NotFound(f"There is no experiment {experiment!r}. GET /api/experiments lists those there are.")
        live, receipts = [], 0
        for item in self._receipts(experiment):
            receipts += 1
            status = item.metadata.get("status", "")
            if status not in (*FINAL, Status.WAITING) and "job" in item.metadata:
                live.append(item.metadata["job"])
        return DeletionPlan(deletion=self._planned(latest, by), receipts=receipts, live=live)

    def _models(self, experiment: str) -> ExperimentModels:
        return ExperimentModels(
            experiment=experiment, deleter=self.deleter, snapshots=self.job_commands.snapshots, training=self.training
        )

    def _planned(self, latest: LatestDrop, by: str) -> Deletion:
        drop = Drop.list_drop(self.blobs, latest.folder)
        scripts = [*drop.scripts, *([drop.job_yaml] if drop.job_yaml else [])]
        sizes = [
            item.size for item in iter_items(self.blobs, naming.SNAPSHOTS, f"{latest.experiment}/", size=MAX_LIST_PAGE)
        ]
        return Deletion(
            experiment=latest.experiment,
            folder=latest.folder,
            state=DeletionState.PLANNED,
            by=by,
            at=drop.now,
            sequence=int(drop.now.timestamp()),
            snapshot_files=len(sizes),
            snapshot_size=sum(sizes),
            left=tuple(
                RetainedFiles(container=container, files=len(files), size=sum(file.size for file in files))
                for container, files in ((naming.DATA, drop.data), (naming.SCRIPTS, scripts))
            ),
        )

    def delete(self, experiment: str, *, by: str, force: bool) -> Deletion:
        """Start to delete an experiment, or return its deletion if it is in progress or done.

        Raises:
            NotFound: there is no such experiment.
            Refused: jobs are unfinished, and `force`, which cancels them, is not set.
        """
        found = self.active_deletion(experiment) or self._last(experiment)
        if found is not None:
            return found
        plan = self._plan(experiment, by)
        if plan.live and not force:
            some = ", ".join(plan.live[:5])
            raise Refused(
                f"Jobs of {experiment} are unfinished: {some}. Cancel them, or pass force=true to cancel them."
            )
        # Making the plan may have taken a while, in which drops were still accepted.
        now = self.blobs.page(naming.RECEIPTS, naming.deleting_blob(experiment), size=1).now
        deletion = plan.deletion.replace(state=DeletionState.DELETING, at=now)
        try:
            self.blobs.create(naming.RECEIPTS, naming.deleting_blob(experiment), deletion.to_bytes())
        except PreconditionFailed:
            return self.active_deletion(experiment) or deletion
        self._still_live(experiment)
        return deletion

    def _last(self, experiment: str) -> Deletion | None:
        """Return the last deletion of an experiment if nothing else of it exists."""
        listing = self.blobs.list(naming.RECEIPTS, f".deleted/{experiment}/")
        if not listing.items or self.receipts.latest(experiment) is not None:
            return None
        return Deletion.from_bytes(self.blobs.read(naming.RECEIPTS, listing.items[-1].name).data)

    def reconcile(self, until: datetime) -> None:
        """Continue every deletion in progress; an error in one does not stop the others.

        None is started after `until`, or after the time of a round of deletions.
        """
        until = min(until, time_after(self.clock, self.timing.deletion_round))
        for experiment in sorted(self.deleting()):
            with isolate_errors(f"The deletion of {experiment} could not continue"):
                self._carry_on(experiment, until)
            if self.clock() > until:
                return

    def _carry_on(self, experiment: str, until: datetime) -> None:
        blob = self.blobs.read(naming.RECEIPTS, naming.deleting_blob(experiment))
        deletion = Deletion.from_bytes(blob.data)
        in_flight = timedelta(seconds=self.timing.max_function_runtime)
        if self._still_live(experiment) or blob.now - deletion.at < in_flight:
            return  # a function that started before the deletion may still process a drop
        models = self._models(experiment)
        deletion, etag = self._delete_models(deletion, blob.etag, models.of([experiment]), until)
        deletion, etag = self._delete_drops(deletion, etag, models, until)
        if self.clock() > until or any(True for _ in self._receipts(experiment)):
            return
        # Left by a call that was killed before it wrote a receipt:
        self.deleter.delete_prefix(naming.SNAPSHOTS, f"{experiment}/")
        self.deleter.delete_prefix(naming.RECEIPTS, naming.open_prefix(experiment))
        self.deleter.delete_requests(experiment, until=deletion.at)
        self.blobs.delete(naming.RECEIPTS, naming.latest_blob(experiment))
        self._finish(deletion, etag)

    def _finish(self, deletion: Deletion, etag: str) -> None:
        done = deletion.replace(state=DeletionState.DELETED, done_at=self.clock())
        try:
            self.blobs.create(naming.RECEIPTS, done.audit, done.to_bytes(), metadata=done.metadata)
        except PreconditionFailed:
            logger.info("%s exists already: an earlier call wrote it.", done.audit)
        self.blobs.delete(naming.RECEIPTS, naming.deleting_blob(deletion.experiment), etag=etag)

    def _still_live(self, experiment: str) -> bool:
        """Cancel unfinished jobs; return whether there are any, or events that are not published yet."""
        live = False
        for ref in list(self.receipts.list_open(experiment)):
            receipt = self.receipts.find(ref)
            if receipt is None or is_idle(receipt):
                continue
            live = True
            if receipt.job and receipt.status not in FINAL:
                try:
                    self.job_commands.cancel(receipt.job)
                except KedjaError as error:
                    logger.info("%s could not be canceled: %s", receipt.job, error)
        return live

    def _delete_models(
        self, deletion: Deletion, etag: str, found: Collection[DeletedModel], until: datetime
    ) -> tuple[Deletion, str]:
        """Delete versions that the experiment produced, recording them first; start none after `until`."""
        known = _with(deletion, found)
        etag = self._write(deletion, known, etag)
        stay = {one.key for one in known.kept}
        kept = []
        for one in found:
            if self.clock() > until:
                break
            if one.key not in stay and not self.deleter.delete_version(
                *one.key
            ):  # it became the champion in the meantime
                kept.append(one.replace(why="It is the model's champion."))
        following = _with(known, kept)
        return following, self._write(known, following, etag)

    def _delete_drops(
        self, deletion: Deletion, etag: str, models: ExperimentModels, until: datetime
    ) -> tuple[Deletion, str]:
        """Delete receipts, snapshots and the versions that they produced, recording each batch first."""
        for page in iter_pages(self.blobs, naming.RECEIPTS, f"{deletion.experiment}/", size=BATCH):
            if self.clock() > until:
                break
            batch = self._read([item for item in page.items if _is_receipt(item)])
            known = deletion.with_receipts(
                [DeletedReceipt.of(DropRef.of_blob(item.name).drop, data, one) for item, data, one in batch]
            )
            etag = self._write(deletion, known, etag)
            found = self._found([receipt for _, _, receipt in batch if receipt], models, known)
            deletion, etag = self._delete_models(known, etag, found, until)
            if self.clock() > until:
                break  # some of the versions may be left
            for item, _, receipt in batch:
                ref = DropRef.of_blob(item.name)
                self.deleter.delete_snapshot(ref)
                self.deleter.delete_receipt(ref, receipt, etag=item.etag)
        return deletion, etag

    def _found(
        self, receipts: Sequence[Receipt], models: ExperimentModels, deletion: Deletion
    ) -> Collection[DeletedModel]:
        """Return the versions that receipts produced, including those that someone archived in the registry."""
        with ThreadPoolExecutor(_READS) as pool:
            named = set[str]().union(*pool.map(models.named_by, receipts))
        found = {one.key: one for one in models.of(named)}
        gone = {one.key for one in deletion.models}
        for receipt in receipts:
            if receipt.model is not None:
                one = DeletedModel(model=receipt.model.model, version=receipt.model.version, job=receipt.job)
                if one.key not in gone or self._has_files(one):
                    found.setdefault(one.key, one)
        return found.values()

    def _has_files(self, model: DeletedModel) -> bool:
        return bool(self.blobs.page(naming.MODELS, naming.model_prefix(*model.key), size=1).items)

    def _read(self, items: Sequence[BlobItem]) -> list[tuple[BlobItem, bytes, Receipt | None]]:
        """Read the idle receipts that have not changed since they were listed."""

        def read(item: BlobItem) -> tuple[BlobItem, bytes, Receipt | None] | None:
            try:
                blob = self.blobs.read(naming.RECEIPTS, item.name)
            except BlobNotFound:
                return None
            try:
                receipt = Receipt.from_bytes(blob.data)
            except ValidationError:
                receipt = None  # an unreadable receipt is deleted like the others
            return (item, blob.data, receipt) if blob.etag == item.etag and (not receipt or is_idle(receipt)) else None

        with ThreadPoolExecutor(_READS) as pool:
            return [found for found in pool.map(read, items) if found]

    def _write(self, before: Deletion, now: Deletion, etag: str) -> str:
        """Write the progress of a deletion. Raise PreconditionFailed if another host has continued it."""
        if now == before:
            return etag
        return self.blobs.replace(naming.RECEIPTS, naming.deleting_blob(now.experiment), now.to_bytes(), etag=etag)

    def _receipts(self, experiment: str) -> Iterator[BlobItem]:
        yield from filter(_is_receipt, iter_items(self.blobs, naming.RECEIPTS, f"{experiment}/", size=MAX_LIST_PAGE))


def _with(deletion: Deletion, found: Collection[DeletedModel]) -> Deletion:
    """Return the deletion with versions to delete now or to keep."""
    return deletion.with_models([one for one in found if one.why is None], [one for one in found if one.why])


def _is_receipt(item: BlobItem) -> bool:
    return not item.name.endswith(f"/{_LATEST}")
