"""Jobs that the training service does not know: when they count as deleted, and what happens if they are seen again.

A single "there is no such job" is not proof: a service that is moved, restored or set up anew says so of running jobs.
So misses are counted on the receipt, and each counts only if the workspace itself answers right after it.
"""

from datetime import timedelta

from attrs import frozen

from function_app.domain.receipt import Receipt, Status
from function_app.domain.receipt_changes import AttemptChanges
from function_app.errors import JobNotFound, TrainingServiceError
from function_app.ports.clock import Clock
from function_app.ports.training_service import Job, TrainingService
from function_app.store.receipts import Receipts
from function_app.timing import Timing

MISSES = 3
"""Misses after which a job that was seen before counts as deleted, over at least `Timing.missing_job` seconds."""
MISSES_UNSEEN = 2
"""Misses after which a job that was never seen, and is no longer wanted, counts as deleted."""


def is_missing(training: TrainingService, job: str) -> bool:
    """Return whether there is no such job: it is missed twice, and the workspace answers in between.

    For decisions that cannot wait; callers that can check again later count misses with `MissingJobs`.

    Raises:
        TrainingServiceError: The service did not answer.
    """
    try:
        training.get(job)
    except JobNotFound:
        _check_workspace(training)
    else:
        return False
    try:
        training.get(job)
    except JobNotFound:
        return True
    return False


def _check_workspace(training: TrainingService) -> None:
    """Raise `TrainingServiceError` unless the workspace itself answers: one page of its jobs."""
    next(training.list(), None)


@frozen(kw_only=True)
class MissingJobs:
    """Counts misses on receipts, and resets the count if the job is seen again."""

    clock: Clock
    receipts: Receipts
    training: TrainingService
    timing: Timing

    def missed(self, receipt: Receipt) -> Receipt:
        """Count a miss of the receipt's last job, unless the workspace does not answer either."""
        try:
            _check_workspace(self.training)
        except TrainingServiceError:
            return receipt
        job, now = receipt.job, self.clock()

        def edit(current: Receipt) -> Receipt:
            if current.job != job or current.attempt is None:
                return current
            since = current.attempt.missing_since or now
            return current.with_attempt(missing_since=since, misses=current.attempt.misses + 1)

        return self.receipts.change(receipt, edit)

    def is_gone(self, receipt: Receipt) -> bool:
        """Return whether the receipt's last job was missed often enough, and for long enough, to count as deleted."""
        attempt, now = receipt.attempt, self.clock()
        if attempt is None or attempt.missing_since is None:
            return False
        if receipt.status is Status.CANCELING and attempt.status is None:
            is_lost = now - attempt.claimed > timedelta(seconds=self.timing.lost_submission)
            return is_lost and attempt.misses >= MISSES_UNSEEN
        waited = now - attempt.missing_since
        return attempt.misses >= MISSES and waited >= timedelta(seconds=self.timing.missing_job)

    def found(self, receipt: Receipt, job: Job) -> Receipt:
        """Reset the misses of a job that exists; reopen its receipt if it had ended because the job seemed deleted."""
        attempt = receipt.attempt
        if attempt is None or attempt.job != job.name or not (attempt.misses or attempt.gone):
            return receipt
        if attempt.gone:
            self.receipts.set_open_mark(receipt.ref)
        return self.receipts.change(receipt, lambda current: self._found(current, job.name))

    def _found(self, receipt: Receipt, job: str) -> Receipt:
        attempt = receipt.attempt
        if attempt is None or attempt.job != job:
            return receipt
        found = receipt.with_attempt(missing_since=None, misses=0, gone=None)
        reopened = {Status.FAILED: Status.SUBMITTED, Status.NOT_REGISTERED: Status.COMPLETED}.get(receipt.status)
        if attempt.gone is None or reopened is None:
            return found
        reason = "The training service has found its job again."
        changes: AttemptChanges = {"ended": None, "error": None, "reopened": attempt.reopened + 1}
        return found.with_status(reopened, self.clock(), reason).with_attempt(**changes)
