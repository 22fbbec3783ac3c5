"""Registration: a completed job's model becomes one version, its artifacts are copied, and the receipt is updated.

Everything here runs under a lease on the receipt, and every step continues what an earlier, killed call did.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import field, frozen

from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.cloud_events import EventType
from function_app.domain.contents import FILES_LISTED
from function_app.domain.receipt import Artifact, Receipt, RegisteredModel, Status
from function_app.errors import ModelRefused, PreconditionFailed, Transient
from function_app.jobspec.kedja_block import RegisterOptions, register_options
from function_app.models.artifacts import Artifacts, ModelManifest
from function_app.models.champion import Champion, Champions
from function_app.models.deletion import Deleter
from function_app.models.gate import OwnersGate
from function_app.models.job_result import JobResult, UnreadableResult, truncate_metrics
from function_app.models.lineage import lineage, registration_of
from function_app.models.ownership import ModelNotShared, Owners
from function_app.models.registration_context import RegistrationContext, receipt_metrics
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Lease
from function_app.ports.training_service import BlobFolder, Job, ModelVersion, TrainingService
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots, UnreadableSnapshot
from function_app.timing import Timing

AT_ONCE = 4
"""Max models that a process registers at the same time: each takes memory for the names of all its files."""
OUTPUTS_KEPT = "The job's outputs are kept. Change the gate or the script, and drop the files again."
"""What to do if no model is registered."""
UNKNOWN = "Its snapshot can no longer be read, and only the snapshot says which model to register, and when."

type _End = Callable[[Receipt, Attempt, RegisterOptions, Lease], Receipt]


class RegistrationPending(Transient):
    """Something is not ready yet: try again after `delay` seconds."""

    def __init__(self, message: str, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


@frozen(kw_only=True)
class Registrar:
    """Registers the models of completed jobs."""

    artifacts: Artifacts
    blobs: Blobs
    champions: Champions
    clock: Clock
    owners: Owners
    receipts: Receipts
    deleter: Deleter
    snapshots: Snapshots
    training: TrainingService
    timing: Timing
    _places: threading.Semaphore = field(factory=lambda: threading.BoundedSemaphore(AT_ONCE), init=False, eq=False)

    def register(self, receipt: Receipt, job: Job) -> Receipt:
        """Register the model of a job whose receipt is `completed`.

        Raises:
            PreconditionFailed: Another host registers it at this moment.
            RegistrationPending: Files are still being uploaded or copied, or too many models are being registered.
        """
        with self._place():
            return self._end_completed(receipt, job.name, self._register_outputs)

    def _end_completed(self, receipt: Receipt, job: str | None, end: _End) -> Receipt:
        """End the receipt if it is `completed` by this job, under a lease on it; otherwise return it as it is stored.

        If nobody knows any more what to register and when, nothing is registered.
        """
        with self.blobs.lease(naming.RECEIPTS, naming.receipt_blob(receipt.ref), self.timing.lease) as lease:
            current = self.receipts.load(receipt.ref)
            attempt = current.attempt
            if current.status is not Status.COMPLETED or attempt is None or attempt.job != job:
                return current
            options = self._options(current)
            if options is None:
                return self._refused(current, lease, UNKNOWN, truncate_metrics({}))
            return end(current, attempt, options, lease)

    def _register_outputs(self, receipt: Receipt, attempt: Attempt, options: RegisterOptions, lease: Lease) -> Receipt:
        outputs = self.training.outputs(attempt.job)
        try:
            result = self._result(outputs, receipt.history[-1].at, options, lease)
        except UnreadableResult as error:
            return self._incomplete(receipt, attempt, options, lease, str(error))
        path, why = result.model_path(options.path)
        if path is None:
            return self._incomplete(receipt, attempt, options, lease, why, result)
        claim = self.owners.claim(options.model or receipt.experiment, receipt.experiment)
        work = RegistrationContext(
            receipt=receipt,
            attempt=attempt,
            result=result,
            options=options,
            path=path,
            lease=lease,
            claim=claim,
            notes=(*result.notes, why),
        )
        return self._register(work, outputs)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise RegistrationPending(f"{AT_ONCE} other models are being registered.", self.timing.copy_check)
        try:
            yield
        finally:
            self._places.release()

    def abandon(self, receipt: Receipt) -> Receipt:
        """End a `completed` receipt whose job was deleted before its model was copied completely.

        Raises:
            PreconditionFailed: Another host registers it at this moment.
            RegistrationPending: The snapshot cannot be read yet.
        """
        return self._end_completed(receipt, receipt.job, self._abandon)

    def _abandon(self, receipt: Receipt, attempt: Attempt, options: RegisterOptions, lease: Lease) -> Receipt:
        reason = f"The training service no longer knows the job {attempt.job}. Its model was not copied completely."
        gone = self.clock()
        receipt = self.receipts.change(receipt, lambda now: now.with_attempt(gone=gone), lease=lease)
        return self._incomplete(receipt, attempt, options, lease, reason, what_to_do="Retry it.")

    def _options(self, receipt: Receipt) -> RegisterOptions | None:
        """Return what to register and when; None if an earlier release claimed the attempt, and its snapshot is gone.

        Raises:
            RegistrationPending: The snapshot cannot be read yet.
        """
        try:
            return register_options(self.snapshots.options(receipt))
        except UnreadableSnapshot as error:
            if not self.timing.snapshot_retry.is_over(receipt.history[-1].at, self.clock()):
                raise RegistrationPending(str(error), self.timing.upload_check) from error
            return None

    def _incomplete(
        self,
        receipt: Receipt,
        attempt: Attempt,
        options: RegisterOptions,
        lease: Lease,
        reason: str,
        result: JobResult | None = None,
        what_to_do: str = OUTPUTS_KEPT,
    ) -> Receipt:
        """End a receipt whose job's outputs are incomplete: as `registered` only if all were copied before.

        Otherwise what an earlier call began is undone: its version is archived, and its copies are deleted.
        """
        copied = receipt.model
        manifest = ModelManifest.read(self.blobs, copied.model, copied.version) if copied else None
        if copied and manifest:
            total = manifest.metrics_total or len(manifest.metrics)
            copies = JobResult(result="completed", exit_code=0, metrics=manifest.metrics, metrics_total=total)
            claim, path = self.owners.claim(copied.model, receipt.experiment), manifest.path
            work = RegistrationContext(
                receipt=receipt, attempt=attempt, result=copies, options=options, path=path, lease=lease, claim=claim
            )
            return self._finish(work, receipt, copied, manifest.files)
        model = options.model or receipt.experiment
        for version in self.training.find_model(model, attempt.job):
            self.deleter.delete_version(model, version.version)
            lease.renew()
        measured = receipt_metrics(options, result) if result else truncate_metrics({})
        return self._refused(receipt, lease, reason, measured, what_to_do, result.notes if result else ())

    def _register(self, work: RegistrationContext, outputs: BlobFolder) -> Receipt:
        model = work.receipt.model
        if model is None:
            # A killed call may have got this far: a registered version has passed the gate.
            found = self.training.find_model(work.model, work.attempt.job)
            no = work.claim.refusal(work.options.when, work.result.metrics)
            if isinstance(no, ModelNotShared) and not found:
                what_to_do = f"The job's outputs are kept. {no.what_to_do}"
                return self._refused(work.receipt, work.lease, no.reason, work.measured, what_to_do, work.notes)
            if no and not found:
                return self._refused(work.receipt, work.lease, str(no), work.measured, notes=work.notes)
            try:
                version = self._version(work, found)
            except ModelRefused as refused:
                found = self.training.find_model(work.model, work.attempt.job)  # it may exist all the same
                if not found:
                    return self._refused(work.receipt, work.lease, str(refused), work.measured, notes=work.notes)
                version = self._version(work, found)
            work.lease.renew()
            model = RegisteredModel(
                model=work.model,
                version=version.version,
                path=f"{naming.MODELS}/{naming.model_prefix(work.model, version.version)}",
            )
        target = naming.model_prefix(model.model, model.version)
        progress = self.artifacts.copy(outputs, target, keep_alive=work.lease.renew)
        model = model.replace(copied=progress.copied, files=progress.total)
        receipt = self.receipts.change(work.receipt, lambda now: now.replace(model=model), lease=work.lease)
        verify = self.artifacts.verify_copies
        artifacts = verify(outputs, target, work.result, keep_alive=work.lease.renew) if progress.done else []
        if not artifacts:
            raise RegistrationPending(
                f"{progress.copied} of {progress.total} artifacts are copied.", self.timing.copy_check
            )
        return self._finish(work, receipt, model, artifacts)

    def _result(self, outputs: BlobFolder, completed: datetime, options: RegisterOptions, lease: Lease) -> JobResult:
        """Return the job's own result once everything in it is uploaded."""
        result = JobResult.read(self.blobs, outputs, metric=options.when.metric if options.when else None)
        lease.renew()
        check = self.artifacts.not_uploaded
        missing = check(outputs, result, keep_alive=lease.renew) if result else [".kedja-manifest.json"]
        if result and not missing:
            return result
        if self.clock() - completed < timedelta(seconds=self.timing.upload_deadline):
            raise RegistrationPending(f"Not uploaded yet: {', '.join(missing[:5])}.", self.timing.upload_check)
        raise UnreadableResult(f"The job completed, but its outputs lack {', '.join(missing[:20])}.")

    def _version(self, work: RegistrationContext, found: Sequence[ModelVersion]) -> ModelVersion:
        """Return the one model version of this job; create it if there is none.

        If a lease was lost, two hosts may create one each: both then keep the lowest and archive the other.
        """
        if not found:
            registration = registration_of(work.receipt, work.attempt.job, work.model, work.path, work.result)
            created = self.training.register_model(registration)
            found = self.training.find_model(work.model, work.attempt.job) or [created]
        kept, *others = found
        for other in others:
            self.training.archive_model(work.model, other.version)
        return kept

    def _finish(
        self, work: RegistrationContext, receipt: Receipt, model: RegisteredModel, artifacts: Sequence[Artifact]
    ) -> Receipt:
        work.lease.renew()
        total = work.result.metrics_total
        manifest = ModelManifest(
            model=model.model,
            model_version=model.version,
            job=work.attempt.job,
            receipt=receipt.name,
            path=work.path,
            metrics=work.result.metrics,
            metrics_total=None if total == len(work.result.metrics) else total,
            lineage=lineage(receipt),
            files=tuple(artifacts),
        )
        name = ModelManifest.blob(model.model, model.version)
        with contextlib.suppress(PreconditionFailed):  # an earlier call got this far
            self.blobs.create(naming.MODELS, name, manifest.to_bytes())
        now = self.clock()
        challenger = Champion(
            model=model.model,
            version=model.version,
            sequence=work.attempt.sequence,
            receipt=receipt.name,
            since=now,
            owner=receipt.experiment if work.claim.is_owner else None,
            gate=OwnersGate.of(work.options.when) if work.claim.is_owner else None,
            **work.measured,
        )
        is_champion = work.claim.is_allowed and self.champions.challenge(
            challenger, work.options.when, measured=work.result.metrics
        )
        done = model.replace(
            champion=is_champion,
            copied=len(artifacts),
            files=len(artifacts),
            size=sum(file.size for file in artifacts),
            artifacts=tuple(artifacts[:FILES_LISTED]),
        )

        def edit(current: Receipt) -> Receipt:
            registered = current.with_status(Status.REGISTERED, now).replace(model=done, notes=work.notes)
            registered = registered.with_attempt(**work.measured, exit_code=work.result.exit_code)
            return registered.with_event(
                EventType.MODEL_REGISTERED,
                now,
                model=done.model,
                version=done.version,
                path=done.path,
                manifest=f"{naming.MODELS}/{name}",
                champion=done.champion,
                **work.measured,
            )

        receipt = self.receipts.change(receipt, edit, lease=work.lease)
        return self.receipts.publish_outbox(receipt, lease=work.lease)

    def _refused(
        self,
        receipt: Receipt,
        lease: Lease,
        reason: str,
        measured: Mapping[str, Any],
        what_to_do: str = OUTPUTS_KEPT,
        notes: Sequence[str] = (),
    ) -> Receipt:
        now = self.clock()

        def edit(current: Receipt) -> Receipt:
            told = current.replace(model=None, notes=tuple(notes))
            refused = told.with_status(Status.NOT_REGISTERED, now, reason, what_to_do)
            return refused.with_attempt(**measured).with_event(EventType.MODEL_NOT_REGISTERED, now, **measured)

        return self.receipts.publish_outbox(self.receipts.change(receipt, edit, lease=lease), lease=lease)
