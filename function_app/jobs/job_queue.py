"""Turns: which receipts are `queued` while all places are taken, and who goes on when one is free."""

import logging
from collections.abc import Mapping

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import Unreadable
from function_app.jobs.slots import NoSlot, QueueEntry, SlotPool
from function_app.ports.storage import Queues
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

WHAT_TO_DO = (
    "Nothing: it begins when a job ends, the oldest drop of the experiment with the fewest jobs first. Cancel it if it "
    "is not needed any more."
)
WITH_JOB = frozenset({Status.SUBMITTED, Status.STARTING, Status.RUNNING})
"""A receipt's last attempt has a job that goes on."""


class SubmitMessage(Document):
    """A message of `settled-drops`: submit a claimed attempt, whose turn it is or which could not be submitted."""

    kind: str = "submit"
    experiment: str
    drop: str
    tries: int = 0


@frozen(kw_only=True)
class JobQueue:
    """Lets claimed attempts begin, or wait."""

    admission: SlotPool
    queues: Queues
    receipts: Receipts

    def acquire(self, receipt: Receipt) -> Receipt:
        """Return the receipt as `submitting` where its last attempt has a place, else as `queued`."""
        if receipt.status is Status.QUEUED:
            return self._go_on(receipt) if self.admission.holds(receipt) else receipt
        if receipt.status is not Status.SUBMITTING:
            if receipt.status in FINAL and receipt.job:  # it was canceled when it was given its place
                self.release(receipt.job)
            return receipt
        refusal = self.admission.acquire(receipt)
        return receipt if refusal is None else self._queue(receipt, refusal)

    def release(self, *jobs: str) -> None:
        """Take back the places of jobs that have ended, and give them to those whose turn it is."""
        if self.admission.release(jobs):
            self.dispatch()

    def dequeue(self, receipt: Receipt) -> None:
        """Forget a receipt that was queued, and is not wanted any more."""
        self.admission.dequeue(receipt)
        if receipt.job:
            self.release(receipt.job)

    def dispatch(self) -> None:
        """Give free places to those whose turn it is. Each is submitted by a message, so that hosts share the work."""
        for one in self.admission.grant_free(self._job_of):
            request = SubmitMessage(experiment=one.experiment, drop=one.drop)
            self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"))

    def reconcile(self, going: Mapping[str, Receipt]) -> None:
        """Bring the places to what receipts say, given the open ones by their last jobs.

        A place whose job has ended is taken back, a job that goes on gets its place, and whoever was forgotten in the
        queue is in it again.
        """
        if self.admission.limits.unlimited:
            return
        running = self.admission.running()
        if ended := [job for job, name in running.items() if job not in going and self._has_ended(job, name)]:
            self.admission.release(ended)
        if missing := {job: one.name for job, one in going.items() if job not in running and self._goes_on(one)}:
            self.admission.adopt(missing)
        marks = {one.receipt for one in self.admission.queued()}
        for receipt in going.values():
            if receipt.status is Status.QUEUED and receipt.name not in marks:
                marks.add(receipt.name)
                if self._now(receipt) is Status.QUEUED:
                    self.admission.enqueue(receipt)
        if marks:
            self.dispatch()

    def _has_ended(self, job: str, name: str) -> bool:
        experiment, _, drop = name.partition("/")
        try:
            receipt = self.receipts.find(experiment, drop)
        except Unreadable:
            return True  # nothing can be done for its job, and the others go on
        return receipt is None or receipt.job != job or receipt.status in FINAL or receipt.status is Status.COMPLETED

    def _goes_on(self, receipt: Receipt) -> bool:
        """Return whether the receipt's job has begun and not ended, also by what was written since it was read."""
        return receipt.status in WITH_JOB and self._now(receipt) in WITH_JOB

    def _now(self, receipt: Receipt) -> Status | None:
        """Return the status of the receipt's last attempt as it is now, or None where it is another attempt's."""
        now = self.receipts.find(receipt.experiment, receipt.drop)
        return now.status if now is not None and now.job == receipt.job else None

    def _queue(self, receipt: Receipt, refusal: NoSlot) -> Receipt:
        # The mark goes first: so whoever gives a place back finds it, wherever this is killed.
        self.admission.enqueue(receipt)

        def edit(current: Receipt) -> Receipt:
            if current.status is not Status.SUBMITTING or current.job != receipt.job:
                return current
            return current.with_status(Status.QUEUED, self.receipts.clock(), refusal.reason, WHAT_TO_DO)

        receipt = self.receipts.change(receipt, edit)
        if receipt.status is not Status.QUEUED:
            self.admission.dequeue(receipt)
        elif self.admission.flag_queue(receipt) or refusal.may_be_free:
            self.dispatch()
        return receipt

    def _go_on(self, receipt: Receipt) -> Receipt:
        """Bring a queued receipt that has its place back to where it was when it was claimed."""
        job = receipt.job

        def edit(current: Receipt) -> Receipt:
            if current.status is not Status.QUEUED or current.job != job:
                return current
            now = self.receipts.clock()
            return current.with_status(Status.SUBMITTING, now).with_attempt(claimed=now)

        receipt = self.receipts.change(receipt, edit)
        self.admission.dequeue(receipt)
        if receipt.status in FINAL and receipt.job == job and job:
            self.release(job)
        return receipt

    def _job_of(self, queued: QueueEntry) -> str | None:
        """Return the job that a mark stands for; take a mark away that stands for none."""
        try:
            receipt = self.receipts.find(queued.experiment, queued.drop)
        except Unreadable:
            receipt = None  # `reconcile` logs it in each round
        if receipt is not None and receipt.status in (Status.QUEUED, Status.SUBMITTING):
            return receipt.job
        logger.info("%s does not wait any more.", queued.receipt)
        self.admission.remove_entry(queued)
        return None
