"""Tracking: read a job's state, and bring its receipt up to date.

An event about a run only says that the job is worth reading again: events come late, twice, and in any order.
"""

import logging
from datetime import datetime

from attrs import frozen

from function_app.domain import naming
from function_app.domain.cloud_events import EventType
from function_app.domain.drop_ref import DropRef
from function_app.domain.messages import SyncJobMessage
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.domain.receipt_changes import AttemptChanges
from function_app.domain.receipt_transitions import with_resumed_attempt
from function_app.errors import JobNotFound, PreconditionFailed, TrainingServiceError, TrainingServiceUnavailable
from function_app.jobs.job_queue import JobQueue
from function_app.jobs.missing_jobs import MissingJobs
from function_app.jobs.preemption import killed_reason, lost_node_reason
from function_app.jobs.submission import Submitter, mark_submitted
from function_app.models.job_result import JobResult, UnreadableResult, truncate_metrics
from function_app.models.registration import Registrar, RegistrationPending
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import RECEIPT_TAG, Job, JobStatus, TrainingService
from function_app.store.receipts import ReceiptBusy, Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)

LOG_TAIL_LINES = 50
LOG_TAIL_BYTES = 64 * 1024


@frozen(kw_only=True)
class JobTracker:
    """Follows jobs to their end."""

    blobs: Blobs
    clock: Clock
    missing_jobs: MissingJobs
    queues: Queues
    receipts: Receipts
    registrar: Registrar
    submitter: Submitter
    training: TrainingService
    job_queue: JobQueue
    max_preemptions: int
    timing: Timing

    def sync(self, name: str, *, tries: int = 0, since: datetime | None = None, again: bool = True) -> Receipt | None:
        """Bring the receipt of a job up to date; return None if the job is not Kedja's.

        If something is not ready yet, a message syncs it again soon; with `again=False` the caller does.
        """
        since = since or self.clock()
        try:
            job = self.training.get(name)
        except JobNotFound:
            return None  # another workspace's, or a child run that has no job of its own
        except TrainingServiceUnavailable as error:
            if again:
                self._schedule_sync(name, tries, since, self._delay(name, tries, error))
            return None
        return self.apply(job, tries=tries, since=since, again=again)

    def apply(self, job: Job, *, tries: int = 0, since: datetime | None = None, again: bool = True) -> Receipt | None:
        """Bring the receipt up to date with a job that was just read; otherwise as `sync`."""
        since = since or self.clock()
        receipt = self._receipt_of(job)
        if receipt is None:
            return None
        try:
            return self._follow(receipt, job)
        except (ReceiptBusy, PreconditionFailed, JobNotFound) as busy:
            logger.info("%s: %s", job.name, busy)
            delay = self.timing.busy_check
        except TrainingServiceUnavailable as error:
            delay = self._delay(job.name, tries, error)
        except RegistrationPending as unfinished:
            delay = unfinished.delay
        if again:
            self._schedule_sync(job.name, tries, since, delay)
        return receipt

    def _receipt_of(self, job: Job) -> Receipt | None:
        """Return the receipt that the job's tag names if that has this job as an attempt, else the one by its name.

        Anybody may change the tags of a job; its name is derived from the drop and never changes.
        """
        if ref := DropRef.parse(job.tags.get(RECEIPT_TAG, "")):
            receipt = self.receipts.find(ref)
            if receipt is not None and receipt.has_job(job.name):
                return receipt
        return self.receipts.of_job(job.name)

    def _delay(self, job: str, tries: int, error: TrainingServiceUnavailable) -> float:
        return self.timing.sync_retry.delay(tries, job, retry_after=error.retry_after)

    def _schedule_sync(self, job: str, tries: int, since: datetime, delay: float) -> None:
        policy = self.timing.sync_retry
        if policy.is_over(since, self.clock()):
            logger.error("%s could not be synced for %.0f s; reconcile takes over.", job, policy.deadline)
            return
        request = SyncJobMessage(job=job, tries=tries + 1, since=since)
        self.queues.send(naming.RUN_EVENTS, request.model_dump(mode="json"), delay=delay)

    def _follow(self, receipt: Receipt, job: Job) -> Receipt:
        receipt = self.missing_jobs.found(receipt, job)
        if receipt.status in (Status.SUBMITTING, Status.QUEUED):
            receipt = self.receipts.change(receipt, lambda now: mark_submitted(now, job, self.clock()))
        if receipt.job != job.name or receipt.status in FINAL or receipt.status is Status.CANCELING:
            return self._end(receipt, job)
        if job.status is JobStatus.STARTING:
            receipt = self.receipts.change(receipt, lambda now: self._progressed(now, job, Status.STARTING))
        elif job.status in (JobStatus.RUNNING, JobStatus.CANCELING):
            receipt = self.receipts.change(receipt, lambda now: self._progressed(now, job, Status.RUNNING))
        else:
            return self._ended(receipt, job)
        return self.receipts.publish_outbox(receipt)

    def _ended(self, receipt: Receipt, job: Job) -> Receipt:
        """Write down how a job has ended, and start the next step: another attempt or the registration."""
        if job.status is JobStatus.FAILED:
            receipt = self._failed(receipt, job)
        elif job.status is JobStatus.CANCELED:
            receipt = self._canceled_there(receipt, job)
        else:
            receipt = self.receipts.change(receipt, lambda now: self._completed(now, job))
        self.job_queue.release(job.name)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        receipt = self.receipts.publish_outbox(receipt)
        return self.registrar.register(receipt, job) if receipt.status is Status.COMPLETED else receipt

    def _end(self, receipt: Receipt, job: Job) -> Receipt:
        """Cancel a job that is no longer wanted. The receipt's status stands, whatever the job does."""
        if not job.status.is_final:
            self.submitter.cancel(job.name, receipt)
            return receipt
        if receipt.status is Status.CANCELING:
            receipt = self.receipts.change(receipt, lambda now: self._canceled(now, job))
        self.job_queue.release(job.name)
        if receipt.status is Status.SUBMITTING and job.name in [attempt.job for attempt in receipt.attempts[-2:-1]]:
            return self.submitter.submit(receipt)  # a call claimed the next attempt, and was killed before this
        return self.receipts.publish_outbox(receipt)

    def fail_missing_job(self, receipt: Receipt) -> Receipt:
        """End a receipt whose job does not exist: its submission was lost, or the job was deleted."""
        now = self.clock()

        def edit(current: Receipt) -> Receipt:
            if _is_over(current, receipt.job):
                return current
            if current.status is Status.CANCELING:
                status = Status.SUPERSEDED if current.superseded_by else Status.CANCELED
                canceled = current.with_status(status, now, current.reason).with_attempt(ended=now, gone=now)
                return canceled.with_event(EventType.JOB_CANCELED, now, superseded_by=current.superseded_by)
            reason = f"The training service no longer knows the job {current.job}."
            failed = current.with_status(Status.FAILED, now, reason, "Retry it.")
            failed = failed.with_attempt(ended=now, error=reason, gone=now)
            return failed.with_event(EventType.JOB_FAILED, now)

        job, receipt = receipt.job, self.receipts.change(receipt, edit)
        if job:
            self.job_queue.release(job)
        return self.receipts.publish_outbox(receipt)

    def _progressed(self, receipt: Receipt, job: Job, status: Status) -> Receipt:
        going = (Status.SUBMITTED, Status.STARTING, Status.RUNNING)
        if receipt.job != job.name or receipt.status not in going:
            return receipt
        told = receipt.attempt.without_node if receipt.attempt else None
        facts: AttemptChanges = {"status": job.detail, "started": job.started, "links": dict(job.links)}
        if status is receipt.status and told:
            return receipt.with_attempt(**facts)  # the note about the missing node stays until the job has one
        reason = f"The training service reports: {job.detail}." if status is Status.STARTING else None
        facts["without_node"] = None
        return receipt.with_status(status, self.clock(), reason).with_attempt(**facts)

    def _completed(self, receipt: Receipt, job: Job) -> Receipt:
        if _is_over(receipt, job.name) or receipt.status is Status.CANCELING:
            return receipt
        completed = receipt.with_status(Status.COMPLETED, self.clock()).with_attempt(**_facts(job))
        return completed.with_event(EventType.JOB_COMPLETED, self.clock(), links=dict(job.links))

    def _canceled(self, receipt: Receipt, job: Job) -> Receipt:
        """Return the receipt of a job that ended because it was to be canceled."""
        if _is_over(receipt, job.name):
            return receipt
        now, reason = self.clock(), receipt.reason
        if receipt.status is not Status.CANCELING:
            reason = "The job was canceled in the training service."
        elif job.status is not JobStatus.CANCELED:
            reason = f"{reason or 'Canceled.'} The job had already {job.status}; no model was registered."
        status = Status.SUPERSEDED if receipt.superseded_by else Status.CANCELED
        what_to_do = None if receipt.superseded_by else "Retry it, or drop the files again."
        canceled = receipt.with_status(status, now, reason, what_to_do).with_attempt(**_facts(job))
        return canceled.with_event(EventType.JOB_CANCELED, now, superseded_by=receipt.superseded_by)

    def _canceled_there(self, receipt: Receipt, job: Job) -> Receipt:
        """Handle a job that was canceled without Kedja: it lost its node, or someone canceled it in the service."""
        why = lost_node_reason(job, receipt, self.training) if self.max_preemptions else None
        if why is None:
            return self.receipts.change(receipt, lambda now: self._canceled(now, job))
        return self.receipts.change(receipt, lambda now: self._preempted(now, job, why, {}))

    def _preempted(self, receipt: Receipt, job: Job, why: str, facts: AttemptChanges) -> Receipt:
        """Return the receipt of a killed job with its next attempt, or as failed if it was killed too often."""
        if _is_over(receipt, job.name):
            return receipt
        if receipt.status is Status.CANCELING:
            return self._canceled(receipt, job)
        now = self.clock()
        changes: AttemptChanges = {**_facts(job), "error": why, **facts}
        receipt = receipt.with_attempt(**changes)
        if receipt.preemptions < self.max_preemptions:
            return with_resumed_attempt(receipt, f"preempted: {why}", now)
        reason = f"Killed {receipt.preemptions + 1} times in a row; the last time, {why}."
        what_to_do = "Retry it: it resumes from its last checkpoint. A compute of tier dedicated keeps its nodes."
        failed = receipt.with_status(Status.FAILED, now, reason, what_to_do).with_attempt(error=reason)
        return failed.with_event(EventType.JOB_FAILED, now)

    def _failed(self, receipt: Receipt, job: Job) -> Receipt:
        try:
            result = JobResult.read(self.blobs, self.training.outputs(job.name), files=False)
            problem = None
        except UnreadableResult as error:
            result, problem = None, str(error)
        tail = self._log_tail(job)
        why = killed_reason(job, result, receipt.spec) if self.max_preemptions and problem is None else None
        if why is not None:
            facts: AttemptChanges = {"log_tail": tail, "exit_code": result.exit_code if result else None}
            return self.receipts.change(receipt, lambda now: self._preempted(now, job, why, facts))
        reason, what_to_do = _explained(job, result, problem)
        now, exit_code = self.clock(), result.exit_code if result else None
        ended: AttemptChanges = {**_facts(job), "error": reason, "exit_code": exit_code, "log_tail": tail}
        measured = truncate_metrics(result.metrics, total=result.metrics_total) if result else truncate_metrics({})
        notes = result.notes if result else ()

        def edit(current: Receipt) -> Receipt:
            if _is_over(current, job.name):
                return current
            failed = current.with_status(Status.FAILED, now, reason, what_to_do).replace(notes=notes)
            failed = failed.with_attempt(**ended).with_attempt(**measured)
            return failed.with_event(EventType.JOB_FAILED, now, exit_code=exit_code)

        return self.receipts.change(receipt, edit)

    def _log_tail(self, job: Job) -> tuple[str, ...]:
        """Return the last lines of a job's log. A log that cannot be read does not keep the job from ending."""
        try:
            page = self.training.logs(job.name, offset=-LOG_TAIL_BYTES, limit=LOG_TAIL_BYTES)
        except TrainingServiceUnavailable:
            raise
        except TrainingServiceError as error:
            logger.warning("The end of the log of %s could not be read: %s", job.name, error)
            return (" ".join(f"The log could not be read: {error}".split()),)
        return tuple(page.text.splitlines()[-LOG_TAIL_LINES:])


def _is_over(receipt: Receipt, job: str | None) -> bool:
    """Return whether this job can no longer change the receipt's status."""
    return receipt.job != job or receipt.status in FINAL or receipt.status is Status.COMPLETED


def _facts(job: Job) -> AttemptChanges:
    return {"status": job.detail, "started": job.started, "ended": job.ended, "links": dict(job.links)}


def _explained(job: Job, result: JobResult | None, problem: str | None) -> tuple[str, str]:
    """Return why a job failed, and what to do about it."""
    if result is None:
        return problem or job.error or f"The job ended as {job.detail} and left no result.", (
            "Read the log. If the node was lost, retry the job."
        )
    if result.result == "changed-since-snapshot":
        return (
            f"changed-since-snapshot: {result.reason}",
            "Nothing, if the files were written again: that is a drop of its own. Otherwise drop them again.",
        )
    if result.out_of_memory:
        return result.reason or "The job ran out of memory.", "Use smaller batches, or nodes with more memory."
    if result.result == "refused":
        return result.reason or "The job refused its input.", "Fix the file and drop it again."
    cause = f"signal {result.signal}" if result.signal else f"exit code {result.exit_code}"
    return (
        result.reason or f"The script ended with {cause}.",
        "Read the end of the log, fix the script and drop it again.",
    )
