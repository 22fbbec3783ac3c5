"""Reconciliation: do what lost events should have caused.

It lists only open work, never history: open receipts and their jobs, markers whose message was lost, and drops that
wait for an approval that exists. `function_app.operations.walk` finds files whose events were lost.
"""

import bisect
import contextlib
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.drops.intake import Intake
from function_app.errors import JobNotFound, PreconditionFailed
from function_app.jobs.job_queue import JobQueue
from function_app.jobs.node_wait import NodeWaitNotifier
from function_app.jobs.outage import waits_for_event
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobs.tracking import JobTracker
from function_app.operations.approvals import ApprovalService
from function_app.operations.rounds import TRIGGER, RoundCursor, isolate_errors
from function_app.operations.stale_markers import StaleMarkers
from function_app.ports.clock import Clock, time_after
from function_app.ports.storage import Blobs
from function_app.ports.training_service import TrainingService
from function_app.store.deletions import is_deleting
from function_app.store.receipts import Receipts
from function_app.store.snapshots import UnreadableSnapshot
from function_app.timing import Timing

CURSOR = ".reconcile"
_MISSED = "missed"
"""Metadata key of a mark whose receipt was not found."""


class Cursor(RoundCursor):
    """Where the next round continues. `opened` is the last open receipt checked, if time ran out before the end."""

    opened: str = ""


@frozen(kw_only=True)
class Reconciler:
    """Finds stalled work and resumes it."""

    blobs: Blobs
    clock: Clock
    intake: Intake
    receipts: Receipts
    submitter: Submitter
    supersession: Supersession
    training: TrainingService
    job_queue: JobQueue
    node_wait_notifier: NodeWaitNotifier
    tracker: JobTracker
    approval_service: ApprovalService
    stale_markers: StaleMarkers
    timing: Timing

    def run(self, *, id: str) -> None:  # noqa: A002 - the id of this run, which its markers contain
        """Do one round. An error in one part does not stop the others."""
        until = time_after(self.clock, self.timing.reconcile_round)
        looked_at: set[str] = set()
        going: dict[str, Receipt] = {}
        with isolate_errors("The open receipts could not be reconciled"):
            going = self._open_receipts(id, looked_at, until)
        with isolate_errors("The job slots could not be reconciled"):
            self._slots(going, min(until, time_after(self.clock, self.timing.place_round)))
        with isolate_errors("The training service's jobs could not be reconciled"):
            self._orphan_jobs(looked_at, until)
        with isolate_errors("The markers could not be reconciled"):
            self.stale_markers.send_again(min(until, time_after(self.clock, self.timing.marker_round)))
        with isolate_errors("The drops that wait for an approval could not be reconciled"):
            self.approval_service.reconcile(min(until, time_after(self.clock, self.timing.approval_round)))

    def _is_lost(self, attempt: Attempt) -> bool:
        """Return whether an attempt was claimed so long ago that its job would exist if it had been submitted."""
        return self.clock() - attempt.claimed > timedelta(seconds=self.timing.lost_submission)

    def _open_receipts(self, run: str, looked_at: set[str], until: datetime) -> dict[str, Receipt]:
        """Reconcile open receipts, starting where the last round ran out of time; return unfinished ones by job."""
        cursor = Cursor.load(self.blobs, CURSOR)
        opened = list(self.receipts.list_open())
        turn = bisect.bisect_right([str(ref) for ref in opened], cursor.opened)
        going: dict[str, Receipt] = {}
        until, last = min(until, time_after(self.clock, self.timing.open_round)), ""
        for number, ref in enumerate((*opened[turn:], *opened[:turn]), start=1):
            with isolate_errors(f"The receipt {ref} could not be reconciled"):
                receipt = self._receipt(ref, run, looked_at)
                if receipt and receipt.job and receipt.status not in (*FINAL, Status.COMPLETED):
                    going[receipt.job] = receipt
            if number < len(opened) and self.clock() > until:
                last = str(ref)
                break
        if last != cursor.opened:
            cursor.replace(opened=last).save(self.blobs, CURSOR)
        return going

    def _receipt(self, ref: DropRef, run: str, looked_at: set[str]) -> Receipt | None:
        receipt = self.receipts.find(ref)
        if receipt is None:
            self._unmark(ref)
            return None
        if receipt.outbox:
            receipt = self.receipts.publish_outbox(receipt)
        if not receipt.attempts:
            receipt = self._advance_unclaimed(receipt)
        if receipt.status is Status.WAITING:
            self.intake.look_again(receipt.folder, trigger=TRIGGER, run=run)
            if waits_for_event(receipt):
                return self.receipts.park(receipt, waits_for_event)
        elif receipt.status in FINAL:
            return self.receipts.publish_outbox(receipt)
        elif receipt.status is Status.SUBMITTING:
            return self._resubmit(receipt)
        elif receipt.job is not None and receipt.status is not Status.QUEUED:
            looked_at.add(receipt.job)
            return self._follow(receipt, receipt.job)
        return receipt

    def _unmark(self, ref: DropRef) -> None:
        """Delete a mark that has no receipt, unless the receipt may still be written: a claim writes the mark first.

        Storage may miss a blob once, so the first miss is only noted on the mark; a second, later miss deletes it.
        """
        name = naming.open_blob(ref)
        listing = self.blobs.list(naming.RECEIPTS, name)
        for mark in listing.items:
            was_missed = _MISSED in mark.metadata
            wait = self.timing.lost_submission if was_missed else self.timing.max_function_runtime
            if listing.now - mark.modified <= timedelta(seconds=wait):
                continue
            with contextlib.suppress(PreconditionFailed):  # a claim has just rewritten it
                if was_missed:
                    self.blobs.delete(naming.RECEIPTS, name, etag=mark.etag)
                else:
                    self.blobs.replace(naming.RECEIPTS, name, b"", etag=mark.etag, metadata={_MISSED: "once"})

    def _advance_unclaimed(self, receipt: Receipt) -> Receipt:
        """Promote an unclaimed drop to latest, in case its host was killed before it did that."""
        if receipt.experiment == naming.ROOT_EXPERIMENT or is_deleting(self.blobs, receipt.experiment):
            return receipt  # files outside of any folder have no latest drop
        return self.supersession.promote_to_latest(receipt, supersede=False)

    def _resubmit(self, receipt: Receipt) -> Receipt:
        if receipt.attempt and self._is_lost(receipt.attempt):
            # Its host may have been killed before it promoted the drop to latest.
            receipt = self.supersession.promote_to_latest(receipt, supersede=self._supersedes(receipt))
            # Every round tries again: one message a round would accumulate while the service is down.
            return self.submitter.submit(receipt, again=False)
        return receipt

    def _supersedes(self, receipt: Receipt) -> bool:
        try:
            return self.submitter.snapshots.options(receipt).supersede
        except UnreadableSnapshot:
            return False  # `submit` reports it

    def _follow(self, receipt: Receipt, name: str) -> Receipt:
        """Apply the state of the receipt's job. A job that has been missing for long enough has failed."""
        try:
            job = self.training.get(name)
        except JobNotFound:
            receipt = self.tracker.missing_jobs.missed(receipt)
            if receipt.job != name or not self.tracker.missing_jobs.is_gone(receipt):
                return receipt
            if receipt.status is Status.COMPLETED:
                return self.tracker.registrar.abandon(receipt)
            return self.tracker.fail_missing_job(receipt)
        # The handler that saw the job complete checks it until it is registered; so does every round of this.
        followed = self.tracker.apply(job, again=receipt.status is not Status.COMPLETED) or receipt
        return self.node_wait_notifier.notify(followed)

    def _slots(self, going: dict[str, Receipt], until: datetime) -> None:
        """Make the job slots match the receipts, and submit queued receipts whose message was lost."""
        running = self.job_queue.slots.running()
        for job, receipt in going.items():
            if receipt.status is Status.QUEUED and (job in running or self.job_queue.slots.limits.unlimited):
                with isolate_errors(f"The queued receipt {receipt.name} could not be submitted"):
                    going[job] = self.submitter.submit(receipt, again=False)
            if self.clock() > until:
                break
        self.job_queue.reconcile(going)

    def _orphan_jobs(self, looked_at: set[str], until: datetime) -> None:
        """Check unfinished jobs that no open receipt waits for, and that are therefore no longer wanted."""
        until = min(until, time_after(self.clock, self.timing.stray_round))
        for job in self.training.list():
            if not job.status.is_final and job.name not in looked_at:
                with isolate_errors(f"The job {job.name} could not be checked"):
                    self.tracker.sync(job.name)
            if self.clock() > until:
                break
