"""Approving: drops that waited for an approval go on once it is there."""

import logging
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import RETRIED_BY_DROP, Receipt, Status
from function_app.drops import deferral
from function_app.drops.archives import ScriptArchives
from function_app.drops.settling import Settler
from function_app.operations.rounds import isolate_errors
from function_app.ports.storage import Blobs, Queues
from function_app.store.approvals import REASON, Approval, Approvals, PendingApproval, PendingNote
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots
from function_app.timing import Timing

logger = logging.getLogger(__name__)

MAX_LOOKUPS = 6
"""How often a receipt that is about to be written is looked for."""


class ApprovedMessage(deferral.DeferrableMessage):
    """A message of `settled-drops`: go on with a drop whose code is approved now."""

    kind: str = "approved"
    digest: str
    experiment: str
    drop: str


@frozen(kw_only=True)
class ApprovalService:
    """Approves code, and lets go on what waited for it."""

    approvals: Approvals
    archives: ScriptArchives
    blobs: Blobs
    queues: Queues
    receipts: Receipts
    settler: Settler
    snapshots: Snapshots
    timing: Timing

    def approve(self, digest: str, *, by: str, note: str | None) -> tuple[Approval, list[PendingApproval]]:
        """Approve a digest; return the approval, and the drops that go on now. Safe to repeat."""
        approval = self.approvals.approve(digest, by=by, note=note)
        waiting = list(self.approvals.waiting(digest))
        for pending in waiting:
            self._send(_request(pending))
        return approval, waiting

    def settle(self, request: ApprovedMessage) -> None:
        """Go on with a drop; put it off where something stands in its way."""
        deferral.run_or_defer(request, self.resume, self._send, clock=self.receipts.clock, timing=self.timing)

    def resume(self, request: ApprovedMessage) -> Receipt | None:
        """Take the drop up again, as it was asked for, if what lies there is still that drop.

        Raises:
            SourceChanged, CopyPending, ReceiptBusy, TrainingServiceUnavailable: look again later.
        """
        receipt = self.receipts.find(request.experiment, request.drop)
        if receipt is None:
            if request.tries < MAX_LOOKUPS:
                self._send(request.model_copy(update={"tries": request.tries + 1}), self.timing.approval_check)
            return None  # `reconcile` goes on with it, or forgets it
        taken = self._take(receipt)  # in whatever state it is: the host may have been killed behind the claim
        if taken is None or taken.status is not Status.WAITING:
            self.approvals.clear_pending(
                PendingApproval(digest=request.digest, experiment=request.experiment, drop=request.drop)
            )
        return taken or receipt

    def reconcile(self, until: datetime) -> None:
        """Let those go on whose message was lost, and forget those that do not wait any more; begin none after that."""
        for note in self.approvals.notes():
            with isolate_errors(f"{note.pending.blob} could not be looked at"):
                self._carry_on(note)
            if self.receipts.clock() > until:
                return

    def _carry_on(self, note: PendingNote) -> None:
        pending = note.pending
        receipt = self.receipts.find(pending.experiment, pending.drop)
        allowed = self.approvals.allows(pending.digest)
        if receipt and receipt.status is Status.WAITING and receipt.reason == f"{REASON}{pending.digest}":
            if allowed:
                # Each round comes back by itself: messages that are put off would add up.
                self._send(_request(pending, again=False))
        elif receipt and receipt.status in RETRIED_BY_DROP and receipt.followed_by is None and not allowed:
            return  # it was dropped again: here is which digest it takes
        elif note.age > timedelta(seconds=self.timing.max_function_runtime):  # else its receipt may be about to come
            self.approvals.clear_pending(pending, etag=note.etag)

    def _take(self, receipt: Receipt) -> Receipt | None:
        """Take the receipt's drop; return None where that is not what lies there now."""
        drop = self.archives.expand(Drop.list_drop(self.blobs, receipt.folder))
        # The job as the receipt has it: a request may have asked for another than job.yaml says.
        spec = self.snapshots.spec(receipt.experiment, receipt.drop)
        if self.settler.drop_id(drop, spec) != receipt.drop:
            logger.info("%s is approved, and its files have changed since: they are a drop of their own.", receipt.name)
            return None
        return self.settler.process_drop(drop, spec, trigger=receipt.trigger)

    def _send(self, request: ApprovedMessage, delay: float = 0) -> None:
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"), delay=delay)


def _request(pending: PendingApproval, *, again: bool = True) -> ApprovedMessage:
    return ApprovedMessage(digest=pending.digest, experiment=pending.experiment, drop=pending.drop, again=again)
