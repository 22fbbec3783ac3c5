"""Approve code, and resume the drops that wait for the approval."""

import logging
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.messages import ApprovedMessage
from function_app.domain.receipt import RETRIED_BY_DROP, Receipt, Status, WaitingFor
from function_app.drops import deferral
from function_app.drops.archives import ScriptArchives
from function_app.drops.settling import Settler
from function_app.operations.rounds import isolate_errors
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Queues
from function_app.store.approvals import Approval, Approvals, PendingApproval, PendingNote
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots
from function_app.timing import Timing

logger = logging.getLogger(__name__)

MAX_LOOKUPS = 6
"""How many times to look for a receipt that may not be written yet."""


@frozen(kw_only=True)
class ApprovalService:
    """Approves code, and resumes the drops that wait for the approval."""

    approvals: Approvals
    archives: ScriptArchives
    blobs: Blobs
    clock: Clock
    queues: Queues
    receipts: Receipts
    settler: Settler
    snapshots: Snapshots
    timing: Timing

    def approve(self, digest: str, *, by: str, note: str | None) -> tuple[Approval, list[PendingApproval]]:
        """Approve a digest; return the approval and the drops that it resumes. Safe to repeat."""
        approval = self.approvals.approve(digest, by=by, note=note)
        waiting = list(self.approvals.waiting(digest))
        for pending in waiting:
            self._send(_request(pending))
        return approval, waiting

    def settle(self, request: ApprovedMessage) -> None:
        """Resume a drop, or defer it if a transient error prevents that."""
        deferral.run_or_defer(request, self.resume, self._send, clock=self.clock, timing=self.timing)

    def resume(self, request: ApprovedMessage) -> Receipt | None:
        """Process the drop again, with the job spec of its receipt, if its files are still the same.

        Raises:
            SourceChanged, CopyPending, ReceiptBusy, TrainingServiceUnavailable: try again later.
        """
        receipt = self.receipts.find(request.ref)
        if receipt is None:
            if request.tries < MAX_LOOKUPS:
                self._send(request.replace(tries=request.tries + 1), self.timing.approval_check)
            return None  # `reconcile` resumes the drop, or deletes its note
        taken = self._take(receipt)  # whatever its status: the host may have been killed after the claim
        if taken is None or taken.status is not Status.WAITING:
            self.approvals.clear_pending(PendingApproval(digest=request.digest, ref=request.ref))
        return taken or receipt

    def reconcile(self, until: datetime) -> None:
        """Resume drops whose message was lost, and delete the notes of drops that no longer wait.

        None is started after `until`.
        """
        for note in self.approvals.notes():
            with isolate_errors(f"{note.pending.blob} could not be reconciled"):
                self._carry_on(note)
            if self.clock() > until:
                return

    def _carry_on(self, note: PendingNote) -> None:
        pending = note.pending
        receipt = self.receipts.find(pending.ref)
        allowed = self.approvals.allows(pending.digest)
        waits = receipt and receipt.waits_for is WaitingFor.APPROVAL
        if receipt and waits and receipt.received.code_sha256 == pending.digest:
            if allowed:
                # Every round sends a message, so deferred ones would accumulate.
                self._send(_request(pending, again=False))
        elif receipt and receipt.status in RETRIED_BY_DROP and receipt.followed_by is None and not allowed:
            return  # it was dropped again: the note shows which digest needs an approval
        elif note.age > timedelta(seconds=self.timing.max_function_runtime):  # before that, its receipt may still come
            self.approvals.clear_pending(pending, etag=note.etag)

    def _take(self, receipt: Receipt) -> Receipt | None:
        """Process the receipt's drop; return None if its files have changed since."""
        drop = self.archives.expand(Drop.list_drop(self.blobs, receipt.folder))
        # The spec of the snapshot: a request may have overridden job.yaml.
        spec = self.snapshots.spec(receipt.ref)
        if self.settler.ref(drop, spec) != receipt.ref:
            logger.info("%s is approved, but its files have changed since: they form a new drop.", receipt.name)
            return None
        return self.settler.process_drop(drop, spec, trigger=receipt.trigger)

    def _send(self, request: ApprovedMessage, delay: float = 0) -> None:
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"), delay=delay)


def _request(pending: PendingApproval, *, again: bool = True) -> ApprovedMessage:
    return ApprovedMessage(digest=pending.digest, experiment=pending.ref.experiment, drop=pending.ref.drop, again=again)
