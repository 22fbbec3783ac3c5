"""Approving: drops that waited for an approval go on once it is there."""

import logging

from attrs import frozen

from function_app import names
from function_app.approvals import Approval, Approvals, Pending
from function_app.documents import Document
from function_app.drop import Drop
from function_app.receipt import Receipt, Status
from function_app.receipts import Receipts
from function_app.settling import Settler
from function_app.storage import Queues

logger = logging.getLogger(__name__)

LOOKS = 6
LOOK_AGAIN = 10.0
"""A receipt that is about to be written is looked for so often, so many seconds apart."""


class ApprovedRequest(Document):
    """A message of `settled-drops`: go on with a drop whose code is approved now."""

    kind: str = "approved"
    digest: str
    experiment: str
    drop: str
    tries: int = 0


@frozen(kw_only=True)
class Approver:
    """Approves code, and lets go on what waited for it."""

    approvals: Approvals
    queues: Queues
    receipts: Receipts
    settler: Settler

    def approve(self, digest: str, *, by: str, note: str | None) -> tuple[Approval, list[Pending]]:
        """Approve a digest; return the approval, and the drops that go on now. Safe to repeat."""
        approval = self.approvals.approve(digest, by=by, note=note)
        waiting = list(self.approvals.waiting(digest))
        for pending in waiting:
            self._send(ApprovedRequest(digest=digest, experiment=pending.experiment, drop=pending.drop))
        return approval, waiting

    def go_on(self, request: ApprovedRequest) -> Receipt | None:
        """Take the drop up again, as it was asked for, if what lies there is still that drop.

        Raises:
            ChangedMeanwhile, CopyUnderWay, ReceiptBusy, TrainingServiceUnavailable: look again later.
        """
        pending = Pending(digest=request.digest, experiment=request.experiment, drop=request.drop)
        receipt = self.receipts.find(request.experiment, request.drop)
        if receipt is None and request.tries < LOOKS:
            self._send(request.model_copy(update={"tries": request.tries + 1}), delay=LOOK_AGAIN)
            return None
        if receipt is not None:  # in whatever state it is: the host may have been killed behind the claim
            receipt = self._take(receipt)
        if receipt is None or receipt.status is not Status.WAITING:
            self.approvals.settled(pending)
        return receipt

    def _take(self, receipt: Receipt) -> Receipt:
        drop = self.settler.archives.opened(Drop.take(self.settler.blobs, receipt.folder))
        # The job as the receipt has it: a request may have asked for another than job.yaml says.
        spec = self.settler.snapshots.spec(receipt.experiment, receipt.drop)
        if self.settler.id_of(drop, spec) != receipt.drop:
            logger.info("%s is approved, and its files have changed since: they are a drop of their own.", receipt.name)
            return receipt
        return self.settler.take(drop, spec, trigger=receipt.trigger)

    def _send(self, request: ApprovedRequest, *, delay: float = 0) -> None:
        self.queues.send(names.SETTLED_DROPS, request.model_dump(mode="json"), delay=delay)
