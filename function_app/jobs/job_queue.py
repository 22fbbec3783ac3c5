"""The job queue: which receipts are `queued` while all slots are taken, and which is next when a slot is free."""

import logging
from collections.abc import Mapping

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.messages import SubmitMessage
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import Unreadable
from function_app.jobs.slots import NoSlot, QueueEntry, SlotPool
from function_app.ports.clock import Clock
from function_app.ports.storage import Queues
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

WHAT_TO_DO = (
    "Nothing: it starts when another job ends. The experiment with the fewest jobs goes first, with its oldest drop. "
    "Cancel it if you no longer need it."
)
WITH_JOB = frozenset({Status.SUBMITTED, Status.STARTING, Status.RUNNING})
"""The receipt's last attempt has a job that has not ended."""


@frozen(kw_only=True)
class JobQueue:
    """Starts claimed attempts, or queues them if there is no slot."""

    slots: SlotPool
    clock: Clock
    queues: Queues
    receipts: Receipts

    def acquire(self, receipt: Receipt) -> Receipt:
        """Return the receipt as `submitting` if its last attempt has a slot, else as `queued`."""
        if receipt.status is Status.QUEUED:
            return self._go_on(receipt) if self.slots.holds(receipt) else receipt
        if receipt.status is not Status.SUBMITTING:
            if receipt.status in FINAL and receipt.job:  # canceled while it was given its slot
                self.release(receipt.job)
            return receipt
        refusal = self.slots.acquire(receipt)
        return receipt if refusal is None else self._queue(receipt, refusal)

    def release(self, *jobs: str) -> None:
        """Release the slots of jobs that have ended, and grant them to the next in the queue."""
        if self.slots.release(jobs):
            self.dispatch()

    def dequeue(self, receipt: Receipt) -> None:
        """Remove a receipt from the queue that is no longer wanted."""
        self.slots.dequeue(receipt)
        if receipt.job:
            self.release(receipt.job)

    def dispatch(self) -> None:
        """Grant free slots to the next in the queue. Each is submitted by a message, so that hosts share the work."""
        for one in self.slots.grant_free(self._job_of):
            request = SubmitMessage(experiment=one.ref.experiment, drop=one.ref.drop)
            self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"))

    def reconcile(self, going: Mapping[str, Receipt]) -> None:
        """Bring the slots in line with the receipts, given the open receipts by their last jobs.

        A slot whose job has ended is released, a job that has begun and has no slot gets one, and a queued receipt
        without a queue entry gets one.
        """
        if self.slots.limits.unlimited:
            return
        running = self.slots.running()
        if ended := [job for job, name in running.items() if job not in going and self._has_ended(job, name)]:
            self.slots.release(ended)
        if missing := {job: one.name for job, one in going.items() if job not in running and self._goes_on(one)}:
            self.slots.adopt(missing)
        marks = {str(one.ref) for one in self.slots.queued()}
        for receipt in going.values():
            if receipt.status is Status.QUEUED and receipt.name not in marks:
                marks.add(receipt.name)
                if self._now(receipt) is Status.QUEUED:
                    self.slots.enqueue(receipt)
        if marks:
            self.dispatch()

    def _has_ended(self, job: str, name: str) -> bool:
        ref = DropRef.parse(name)
        try:
            receipt = self.receipts.find(ref) if ref else None
        except Unreadable:
            return True  # nothing can be done for its job, and the others must not wait for it
        return receipt is None or receipt.job != job or receipt.status in FINAL or receipt.status is Status.COMPLETED

    def _goes_on(self, receipt: Receipt) -> bool:
        """Return whether the receipt's job has begun and not ended, according to the stored receipt too."""
        return receipt.status in WITH_JOB and self._now(receipt) in WITH_JOB

    def _now(self, receipt: Receipt) -> Status | None:
        """Return the stored status of the receipt, or None if its last attempt is another one by now."""
        now = self.receipts.find(receipt.ref)
        return now.status if now is not None and now.job == receipt.job else None

    def _queue(self, receipt: Receipt, refusal: NoSlot) -> Receipt:
        # The queue entry comes first: the host that releases a slot finds it, even if this process is killed next.
        self.slots.enqueue(receipt)

        def edit(current: Receipt) -> Receipt:
            if current.status is not Status.SUBMITTING or current.job != receipt.job:
                return current
            return current.with_status(Status.QUEUED, self.clock(), refusal.reason, WHAT_TO_DO)

        receipt = self.receipts.change(receipt, edit)
        if receipt.status is not Status.QUEUED:
            self.slots.dequeue(receipt)
        elif self.slots.flag_queue(receipt) or refusal.may_be_free:
            self.dispatch()
        return receipt

    def _go_on(self, receipt: Receipt) -> Receipt:
        """Return a queued receipt that has got its slot to `submitting`."""
        job = receipt.job

        def edit(current: Receipt) -> Receipt:
            if current.status is not Status.QUEUED or current.job != job:
                return current
            now = self.clock()
            return current.with_status(Status.SUBMITTING, now).with_attempt(claimed=now)

        receipt = self.receipts.change(receipt, edit)
        self.slots.dequeue(receipt)
        if receipt.status in FINAL and receipt.job == job and job:
            self.release(job)
        return receipt

    def _job_of(self, queued: QueueEntry) -> str | None:
        """Return the job of a queue entry; remove the entry if its receipt no longer waits."""
        try:
            receipt = self.receipts.find(queued.ref)
        except Unreadable:
            receipt = None  # `reconcile` logs it in each round
        if receipt is not None and receipt.status in (Status.QUEUED, Status.SUBMITTING):
            return receipt.job
        logger.info("%s no longer waits for a slot.", queued.ref)
        self.slots.remove_entry(queued)
        return None
