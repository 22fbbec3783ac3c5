"""Submission: exactly one job for a claimed attempt, however many requests and hosts submit it."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.cloud_events import EventType
from function_app.domain.drop_ref import DropRef
from function_app.domain.messages import SubmitMessage
from function_app.domain.plan import ReadyPlan
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.domain.receipt_changes import AttemptChanges
from function_app.errors import (
    AppNotAllowed,
    JobConflict,
    JobNotFound,
    JobRefused,
    KedjaError,
    TrainingServiceUnavailable,
    WorkspaceNotFound,
)
from function_app.jobs import outage
from function_app.jobs.job_queue import JobQueue
from function_app.jobs.missing_jobs import is_missing
from function_app.jobspec.azureml_document import JobDefaults, JobInputs, job_document
from function_app.jobspec.schema import JobSpec
from function_app.ports.clock import Clock
from function_app.ports.storage import Queues
from function_app.ports.training_service import RECEIPT_TAG, Job, JobRequest, TrainingService
from function_app.settings import Settings
from function_app.store.approvals import Approvals, NotApproved
from function_app.store.receipts import Edit, Receipts
from function_app.store.snapshots import Snapshots, UnreadableSnapshot
from function_app.timing import RetryPolicy, Timing

logger = logging.getLogger(__name__)

_UNWANTED = frozenset({Status.CANCELING, Status.CANCELED, Status.SUPERSEDED, Status.FAILED, Status.REJECTED})
"""A job that is created after its receipt has one of these is canceled at once."""


@frozen(kw_only=True)
class Submitter:
    """Submits jobs."""

    approvals: Approvals
    clock: Clock
    queues: Queues
    receipts: Receipts
    settings: Settings
    snapshots: Snapshots
    training: TrainingService
    job_queue: JobQueue
    timing: Timing

    def submit(self, receipt: Receipt, *, tries: int = 0, again: bool = True) -> Receipt:
        """Submit the receipt's last attempt, and write the outcome on the receipt.

        The job's name is the attempt's, so a repeat finds the existing job. At the concurrency limit, the receipt
        becomes `queued`. If the service is not available, a message retries soon; with `again=False` the caller does.
        """
        if receipt.status is Status.SUBMITTING:
            self.receipts.set_open_mark(receipt.ref)
        receipt = self.job_queue.acquire(receipt)
        attempt = receipt.attempt
        if receipt.status is not Status.SUBMITTING or attempt is None:
            return receipt
        try:
            self._check_approval(receipt, attempt)
            document = self.document(receipt)
            job = self._submit_idempotently(receipt, attempt, document)
        except TrainingServiceUnavailable as error:
            return self._schedule_retry(receipt, attempt, error, tries if again else None)
        except UnreadableSnapshot as error:
            return self._unreadable(receipt, attempt, error, tries if again else None)
        except NotApproved as error:
            reason, what_to_do = error.reason, "Have it approved (POST /api/approvals), then drop the files again."
        except (JobRefused, JobConflict) as error:
            reason, what_to_do = str(error), "Fix what the training service reports, and drop the files again."
        else:
            return self._submitted(receipt, document, job)
        receipt = self._change(receipt, attempt, lambda current: self._refused(current, reason, what_to_do))
        return self._release_slot(receipt, attempt)

    def _change(self, receipt: Receipt, attempt: Attempt, edit: Edit) -> Receipt:
        """Change the receipt if it is still `submitting` this attempt; return the current receipt."""

        def edit_if_submitting(current: Receipt) -> Receipt:
            is_submitting = current.status is Status.SUBMITTING and current.job == attempt.job
            return edit(current) if is_submitting else current

        return self.receipts.change(receipt, edit_if_submitting)

    def _submitted(self, receipt: Receipt, document: Mapping[str, Any], job: Job) -> Receipt:
        spec = redact_secrets(document)
        receipt = self.receipts.change(receipt, lambda now: mark_submitted(now, job, self.clock()).replace(spec=spec))
        if receipt.job != job.name or receipt.status in _UNWANTED:
            self.cancel(job.name, receipt)
        return self.receipts.publish_outbox(receipt)

    def cancel(self, job: str, receipt: Receipt) -> None:
        """Ask the service to cancel a job of the receipt. If it does not answer, `reconcile` asks again."""
        try:
            self.training.cancel(job)
        except (JobNotFound, TrainingServiceUnavailable) as error:
            logger.info("%s of %s is not canceled yet: %s", job, receipt.name, error)

    def _check_approval(self, receipt: Receipt, attempt: Attempt) -> None:
        """Raise NotApproved if the code is not, or no longer, approved and was not submitted before."""
        if not self.approvals.required or receipt.preemptions:
            return
        try:
            self.approvals.check(receipt, self.snapshots.spec(receipt.ref))
        except NotApproved:
            if is_missing(self.training, attempt.job):  # else only the response to its submission was lost
                raise

    def _submit_idempotently(self, receipt: Receipt, attempt: Attempt, document: Mapping[str, Any]) -> Job:
        """Submit the job. If the service refuses it, check whether the job exists all the same."""
        request = JobRequest(name=attempt.job, document=document)
        try:
            return self.training.submit(request)
        except (JobConflict, JobRefused) as refusal:
            if isinstance(refusal, JobRefused) and is_missing(self.training, attempt.job):
                raise
            try:
                job = self.training.get(attempt.job)
            except JobNotFound as error:
                raise TrainingServiceUnavailable(f"{refusal} Then: {error}") from error
            # It is the same attempt even if another release of Kedja wrote its document.
            if job.tags.get(RECEIPT_TAG) != receipt.name:
                raise
            return job

    def redacted_document(self, plan: ReadyPlan, spec: JobSpec, ref: DropRef) -> dict[str, Any]:
        """Return the job document of a drop that is ready, as its receipt may show it."""
        drop = plan.drop
        inputs = JobInputs(ref=ref, folder=drop.folder, entry_script=plan.entry_script, has_data=bool(drop.data))
        return redact_secrets(job_document(spec, inputs, self._defaults))

    def document(self, receipt: Receipt) -> Mapping[str, Any]:
        """Return the job document of a receipt, made from its snapshot alone."""
        spec = self.snapshots.spec(receipt.ref)
        inputs = JobInputs(
            ref=receipt.ref,
            folder=receipt.folder,
            entry_script=self.snapshots.entry_script(receipt.ref),
            has_data=receipt.received.data > 0,
        )
        return job_document(spec, inputs, self._defaults)

    @property
    def _defaults(self) -> JobDefaults:
        settings = self.settings
        return JobDefaults(
            compute=settings.compute, environment=settings.environment, resumes=settings.max_preemptions > 0
        )

    def _refused(self, receipt: Receipt, reason: str, what_to_do: str) -> Receipt:
        now = self.clock()
        rejected = receipt.with_status(Status.REJECTED, now, reason, what_to_do).with_attempt(ended=now, error=reason)
        return rejected.with_event(EventType.DROP_REJECTED, now, what_to_do=what_to_do)

    def _schedule_retry(
        self, receipt: Receipt, attempt: Attempt, error: TrainingServiceUnavailable, tries: int | None
    ) -> Receipt:
        now, policy = self.clock(), self.timing.submission_retry
        if policy.is_over(attempt.claimed, now):
            reason, what_to_do = outage.outage_reason(error, self.timing), "Retry it when the service is back."
            receipt = self._change(receipt, attempt, lambda current: _failed(current, now, reason, what_to_do))
            return self._release_slot(receipt, attempt)
        if isinstance(error, AppNotAllowed | WorkspaceNotFound):
            receipt = self._change(receipt, attempt, lambda current: _not_allowed(current, now, str(error)))
        return self._again(receipt, attempt, error, tries, policy)

    def _unreadable(self, receipt: Receipt, attempt: Attempt, error: UnreadableSnapshot, tries: int | None) -> Receipt:
        """Retry to read the job's snapshot; fail the receipt after `unreadable_snapshot` seconds."""
        now, policy = self.clock(), self.timing.snapshot_retry

        def edit(current: Receipt) -> Receipt:
            since = (current.attempt.unreadable_since if current.attempt else None) or now
            if policy.is_over(since, now):
                return _failed(current, now, f"The job cannot be created: {error}", "Drop the files again.")
            return current.with_attempt(unreadable_since=since)

        receipt = self._change(receipt, attempt, edit)
        if receipt.status is not Status.SUBMITTING:
            return self._release_slot(receipt, attempt)
        return self._again(receipt, attempt, error, tries, policy)

    def _again(
        self, receipt: Receipt, attempt: Attempt, error: KedjaError, tries: int | None, policy: RetryPolicy
    ) -> Receipt:
        """Put a message that submits the attempt again on the queue, unless the caller does (`tries` is None)."""
        if tries is None:
            return receipt
        retry_after = error.retry_after if isinstance(error, TrainingServiceUnavailable) else None
        delay = policy.delay(tries, attempt.job, retry_after=retry_after)
        again = SubmitMessage(experiment=receipt.experiment, drop=receipt.drop, tries=tries + 1)
        self.queues.send(naming.SETTLED_DROPS, again.model_dump(mode="json"), delay=delay)
        logger.warning("%s will be submitted again in %.0f s: %s", attempt.job, delay, error)
        return receipt

    def _release_slot(self, receipt: Receipt, attempt: Attempt) -> Receipt:
        if receipt.status in FINAL:
            self.job_queue.release(attempt.job)
        return self.receipts.publish_outbox(receipt)


def _failed(receipt: Receipt, now: datetime, reason: str, what_to_do: str) -> Receipt:
    failed = receipt.with_status(Status.FAILED, now, reason, what_to_do)
    return failed.with_attempt(ended=now, error=reason).with_event(EventType.JOB_FAILED, now)


def _not_allowed(receipt: Receipt, now: datetime, what_to_do: str) -> Receipt:
    """Return the receipt with a note, written once, of what has to be done before its job can be submitted."""
    return receipt.with_status(
        Status.SUBMITTING, now, "The training service does not allow the app to submit the job.", what_to_do
    )


def redact_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job document as a receipt may show it: without values of environment variables, which may be secret."""
    shown = dict(document)
    if variables := document.get("environment_variables"):
        shown["environment_variables"] = dict.fromkeys(variables, "…")
    if trial := document.get("trial"):  # where a sweep has them
        shown["trial"] = redact_secrets(trial)
    return shown


def mark_submitted(receipt: Receipt, job: Job, now: datetime) -> Receipt:
    """Return the receipt as `submitted`, once its job is known to exist.

    The first to see the job writes this: the submitter, or the handler of an earlier event.
    """
    # Queued: by a host that saw no slot while another host took one.
    if receipt.status not in (Status.SUBMITTING, Status.QUEUED) or receipt.job != job.name:
        return receipt
    facts: AttemptChanges = {"links": dict(job.links), "status": job.detail, "unreadable_since": None}
    submitted = receipt.with_status(Status.SUBMITTED, now).with_attempt(**facts)
    return submitted.with_event(EventType.JOB_SUBMITTED, now, links=dict(job.links))
