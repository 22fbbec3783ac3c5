"""Completion: look at a job again, and bring its receipt to where the job is.

Any event about a run says no more than "look": events come late, twice, and in any order.
"""

import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.backoff import backoff
from function_app.domain.cloud_events import Announced
from function_app.domain.document import Document
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.domain.receipt_transitions import going_on
from function_app.errors import JobNotFound, PreconditionFailed, TrainingServiceError, TrainingServiceUnavailable
from function_app.jobs.job_queue import Turns
from function_app.jobs.missing_jobs import MissingJobs
from function_app.jobs.preemption import lost_its_node, was_killed
from function_app.jobs.submission import Submitter, with_job
from function_app.models.job_result import JobResult, UnreadableResult, carried
from function_app.models.registration import Registrar, Unfinished
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import RECEIPT_TAG, Job, JobStatus, TrainingService
from function_app.store.receipts import ReceiptBusy, Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)

_RECEIPT = re.compile(r"(?P<experiment>[a-z0-9-]+)/(?P<drop>[0-9a-f]{64})")
LOG_TAIL_LINES = 50
LOG_TAIL_BYTES = 64 * 1024


class LookRequest(Document):
    """A message of `run-events`: look at a job again. `since` is when looking began."""

    kind: str = "look"
    job: str
    tries: int = 0
    since: datetime


@frozen(kw_only=True)
class Watcher:
    """Follows jobs to their end."""

    blobs: Blobs
    missing: MissingJobs
    queues: Queues
    receipts: Receipts
    registrar: Registrar
    submitter: Submitter
    training: TrainingService
    turns: Turns
    max_preemptions: int
    timing: Timing

    def look(self, name: str, *, tries: int = 0, since: datetime | None = None, again: bool = True) -> Receipt | None:
        """Bring the receipt of a job up to date; return None where the job is none of Kedja's.

        Where something is not there yet, `again` has it looked at again soon; without it the caller comes back.
        """
        since = since or self.receipts.clock()
        try:
            job = self.training.get(name)
        except JobNotFound:
            return None  # another workspace's, or a child run that has no job of its own
        except TrainingServiceUnavailable as error:
            if again:
                self._later(name, tries, since, self._delay(name, tries, error))
            return None
        return self.follow(job, tries=tries, since=since, again=again)

    def follow(self, job: Job, *, tries: int = 0, since: datetime | None = None, again: bool = True) -> Receipt | None:
        """Bring the receipt of a job to where the job is, which was just read. As `look` otherwise."""
        since = since or self.receipts.clock()
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
        except Unfinished as unfinished:
            delay = unfinished.delay
        if again:
            self._later(job.name, tries, since, delay)
        return receipt

    def _receipt_of(self, job: Job) -> Receipt | None:
        """Return the job's receipt: the one of its tag if that has an attempt of this name, else that of its name.

        Anybody may change the tags of a job; its name stays what the claim made of the drop.
        """
        if tag := _RECEIPT.fullmatch(job.tags.get(RECEIPT_TAG, "")):
            receipt = self.receipts.find(tag["experiment"], tag["drop"])
            if receipt is not None and receipt.has(job.name):
                return receipt
        return self.receipts.of_job(job.name)

    def _delay(self, job: str, tries: int, error: TrainingServiceUnavailable) -> float:
        first, longest = self.timing.first_retry, self.timing.max_retry
        return backoff(tries, job, first=first, longest=longest, retry_after=error.retry_after)

    def _later(self, job: str, tries: int, since: datetime, delay: float) -> None:
        deadline = timedelta(seconds=self.timing.look_deadline)
        if self.receipts.clock() - since > deadline:
            logger.error("%s could not be followed for %s; reconcile goes on with it.", job, deadline)
            return
        request = LookRequest(job=job, tries=tries + 1, since=since)
        self.queues.send(naming.RUN_EVENTS, request.model_dump(mode="json"), delay=delay)

    def _follow(self, receipt: Receipt, job: Job) -> Receipt:
        receipt = self.missing.found(receipt, job)
        if receipt.status in (Status.SUBMITTING, Status.QUEUED):
            receipt = self.receipts.change(receipt, lambda now: with_job(now, job, self.receipts.clock()))
        if receipt.job != job.name or receipt.status in FINAL or receipt.status is Status.CANCELING:
            return self._end(receipt, job)
        if job.status is JobStatus.STARTING:
            receipt = self.receipts.change(receipt, lambda now: self._progressed(now, job, Status.STARTING))
        elif job.status in (JobStatus.RUNNING, JobStatus.CANCELING):
            receipt = self.receipts.change(receipt, lambda now: self._progressed(now, job, Status.RUNNING))
        else:
            return self._ended(receipt, job)
        return self.receipts.flush(receipt)

    def _ended(self, receipt: Receipt, job: Job) -> Receipt:
        """Write down how a job has ended, and have what follows begin."""
        if job.status is JobStatus.FAILED:
            receipt = self._failed(receipt, job)
        elif job.status is JobStatus.CANCELED:
            receipt = self._canceled_there(receipt, job)
        else:
            receipt = self.receipts.change(receipt, lambda now: self._completed(now, job))
        self.turns.end(job.name)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        receipt = self.receipts.flush(receipt)
        return self.registrar.register(receipt, job) if receipt.status is Status.COMPLETED else receipt

    def _end(self, receipt: Receipt, job: Job) -> Receipt:
        """See to it that a job ends for which nobody waits any more: the receipt's word stands, whatever it does."""
        if not job.status.is_final:
            self.submitter.cancel(job.name, receipt)
            return receipt
        if receipt.status is Status.CANCELING:
            receipt = self.receipts.change(receipt, lambda now: self._canceled(now, job))
        self.turns.end(job.name)
        if receipt.status is Status.SUBMITTING and job.name in [attempt.job for attempt in receipt.attempts[-2:-1]]:
            return self.submitter.submit(receipt)  # whoever claimed the next attempt was killed before it did
        return self.receipts.flush(receipt)

    def abandon(self, receipt: Receipt) -> Receipt:
        """End a receipt whose job does not exist: its submission was lost before it was made, or it was deleted."""
        now = self.receipts.clock()

        def edit(current: Receipt) -> Receipt:
            if _is_over(current, receipt.job):
                return current
            if current.status is Status.CANCELING:
                status = Status.SUPERSEDED if current.superseded_by else Status.CANCELED
                canceled = current.moved(status, now, current.reason).with_attempt(ended=now, gone=now)
                return canceled.announcing(Announced.JOB_CANCELED, now, superseded_by=current.superseded_by)
            reason = f"The training service knows no job {current.job} any more."
            failed = current.moved(Status.FAILED, now, reason, "Retry it.")
            failed = failed.with_attempt(ended=now, error=reason, gone=now)
            return failed.announcing(Announced.JOB_FAILED, now)

        job, receipt = receipt.job, self.receipts.change(receipt, edit)
        if job:
            self.turns.end(job)
        return self.receipts.flush(receipt)

    def _progressed(self, receipt: Receipt, job: Job, status: Status) -> Receipt:
        going = (Status.SUBMITTED, Status.STARTING, Status.RUNNING)
        if receipt.job != job.name or receipt.status not in going:
            return receipt
        told = receipt.attempt.without_node if receipt.attempt else None
        facts = {"status": job.detail, "started": job.started, "links": dict(job.links)}
        if status is receipt.status and told:
            return receipt.with_attempt(**facts)  # what it was told of the missing node stands until there is one
        reason = f"The training service says: {job.detail}." if status is Status.STARTING else None
        return receipt.moved(status, self.receipts.clock(), reason).with_attempt(**facts, without_node=None)

    def _completed(self, receipt: Receipt, job: Job) -> Receipt:
        if _is_over(receipt, job.name) or receipt.status is Status.CANCELING:
            return receipt
        completed = receipt.moved(Status.COMPLETED, self.receipts.clock()).with_attempt(**_facts(job))
        return completed.announcing(Announced.JOB_COMPLETED, self.receipts.clock(), links=dict(job.links))

    def _canceled(self, receipt: Receipt, job: Job) -> Receipt:
        """Return the receipt of a job that is over because someone wanted it so."""
        if _is_over(receipt, job.name):
            return receipt
        now, reason = self.receipts.clock(), receipt.reason
        if receipt.status is not Status.CANCELING:
            reason = "The job was canceled in the training service."
        elif job.status is not JobStatus.CANCELED:
            reason = f"{reason or 'Canceled.'} The job had {job.status} before; nothing was registered."
        status = Status.SUPERSEDED if receipt.superseded_by else Status.CANCELED
        what_to_do = None if receipt.superseded_by else "Retry it, or drop the files again."
        canceled = receipt.moved(status, now, reason, what_to_do).with_attempt(**_facts(job))
        return canceled.announcing(Announced.JOB_CANCELED, now, superseded_by=receipt.superseded_by)

    def _canceled_there(self, receipt: Receipt, job: Job) -> Receipt:
        """Answer the end of a job that nobody asked Kedja to cancel: its node is gone, or someone did it there."""
        why = lost_its_node(job, receipt, self.training) if self.max_preemptions else None
        if why is None:
            return self.receipts.change(receipt, lambda now: self._canceled(now, job))
        return self.receipts.change(receipt, lambda now: self._preempted(now, job, why, {}))

    def _preempted(self, receipt: Receipt, job: Job, why: str, facts: Mapping[str, object]) -> Receipt:
        """Return the receipt of a job that was killed with its next attempt, or failed where that was so too often."""
        if _is_over(receipt, job.name):
            return receipt
        if receipt.status is Status.CANCELING:
            return self._canceled(receipt, job)
        now = self.receipts.clock()
        receipt = receipt.with_attempt(**{**_facts(job), "error": why, **facts})
        if receipt.preemptions < self.max_preemptions:
            return going_on(receipt, f"preempted: {why}", now)
        reason = f"Killed {receipt.preemptions + 1} times in a row, last because {why}."
        what_to_do = "Retry it: it goes on from its last checkpoint. Nodes that stay are a compute of tier dedicated."
        failed = receipt.moved(Status.FAILED, now, reason, what_to_do).with_attempt(error=reason)
        return failed.announcing(Announced.JOB_FAILED, now)

    def _failed(self, receipt: Receipt, job: Job) -> Receipt:
        try:
            result = JobResult.read(self.blobs, self.training.outputs(job.name), files=False)
            problem = None
        except UnreadableResult as error:
            result, problem = None, str(error)
        tail = self._log_tail(job)
        why = was_killed(job, result, receipt.spec) if self.max_preemptions and problem is None else None
        if why is not None:
            facts = {"log_tail": tail, "exit_code": result.exit_code if result else None}
            return self.receipts.change(receipt, lambda now: self._preempted(now, job, why, facts))
        reason, what_to_do = _explained(job, result, problem)
        now = self.receipts.clock()

        def edit(current: Receipt) -> Receipt:
            if _is_over(current, job.name):
                return current
            failed = current.moved(Status.FAILED, now, reason, what_to_do).with_attempt(
                **_facts(job),
                error=reason,
                exit_code=result.exit_code if result else None,
                log_tail=tail,
                **(carried(result.metrics, total=result.metrics_total) if result else carried({})),
            )
            return failed.announcing(Announced.JOB_FAILED, now, exit_code=result.exit_code if result else None)

        return self.receipts.change(receipt, edit)

    def _log_tail(self, job: Job) -> tuple[str, ...]:
        """Return the last lines of a job's log. One that cannot be read keeps no job from ending."""
        try:
            page = self.training.logs(job.name, offset=-LOG_TAIL_BYTES, limit=LOG_TAIL_BYTES)
        except TrainingServiceUnavailable:
            raise
        except TrainingServiceError as error:
            logger.warning("%s ends without the end of its log: %s", job.name, error)
            return (" ".join(f"The log could not be read: {error}".split()),)
        return tuple(page.text.splitlines()[-LOG_TAIL_LINES:])


def _is_over(receipt: Receipt, job: str | None) -> bool:
    """Return whether nothing about this job can change the receipt's status any more."""
    return receipt.job != job or receipt.status in FINAL or receipt.status is Status.COMPLETED


def _facts(job: Job) -> dict[str, object]:
    return {"status": job.detail, "started": job.started, "ended": job.ended, "links": dict(job.links)}


def _explained(job: Job, result: JobResult | None, problem: str | None) -> tuple[str, str]:
    """Return why a job failed, and what to do about it."""
    if result is None:
        return problem or job.error or f"The job ended as {job.detail} and left no result.", (
            "Read the log; retry it if the node was lost."
        )
    if result.result == "changed-since-snapshot":
        return (
            f"changed-since-snapshot: {result.reason}",
            "Nothing, if the files were written again: that is a drop of its own. Else drop them again.",
        )
    if result.out_of_memory:
        return result.reason or "The job ran out of memory.", "Use a smaller batch, or a bigger node."
    if result.result == "refused":
        return result.reason or "The job refused its input.", "Fix the file and drop it again."
    cause = f"signal {result.signal}" if result.signal else f"exit code {result.exit_code}"
    return (
        result.reason or f"The script ended with {cause}.",
        "Read the end of the log, fix the script, drop it.",
    )
