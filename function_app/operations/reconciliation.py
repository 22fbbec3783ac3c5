"""Reconciliation: what the events should have done, done without them.

It lists what is open, never history: open receipts against their jobs, markers that no message stands behind, and drops
that wait for an approval that is there. `function_app.operations.walk` looks for files that no event told of.
"""

import bisect
import contextlib
from datetime import datetime, timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.document import Document
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.drops.intake import Intake
from function_app.errors import BlobNotFound, JobNotFound, PreconditionFailed
from function_app.jobs.job_queue import Turns
from function_app.jobs.node_wait import MissingNodes
from function_app.jobs.outage import only_waits
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobs.tracking import Watcher
from function_app.operations.approvals import Approver
from function_app.operations.rounds import apart
from function_app.operations.stale_markers import StaleMarkers
from function_app.ports.storage import Blobs
from function_app.ports.training_service import TrainingService
from function_app.store.deletions import is_deleting
from function_app.store.receipts import Receipts
from function_app.store.snapshots import UnreadableSnapshot
from function_app.timing import Timing

CURSOR = ".reconcile"
TRIGGER = "reconcile"
_MISSED = "missed"
"""Metadata of a mark whose receipt was not found."""


class Cursor(Document):
    """Where the next round goes on: `opened` is the open receipt that was looked at last, without time for all."""

    opened: str = ""


@frozen(kw_only=True)
class Reconciler:
    """Finds what was lost on the way, and sets it going again."""

    blobs: Blobs
    intake: Intake
    receipts: Receipts
    submitter: Submitter
    supersession: Supersession
    training: TrainingService
    turns: Turns
    missing_nodes: MissingNodes
    watcher: Watcher
    approver: Approver
    markers: StaleMarkers
    timing: Timing

    def run(self, *, id: str) -> None:  # noqa: A002 - the id of this run, which makes its markers its own
        """Do one round. What fails with one thing, in whatever way, does not keep the others waiting."""
        until = self._in(self.timing.reconcile_round)
        looked_at: set[str] = set()
        going: dict[str, Receipt] = {}
        with apart("The open receipts could not be looked at"):
            going = self._open(id, looked_at, until)
        with apart("The places of jobs could not be looked at"):
            self._places(going, min(until, self._in(self.timing.place_round)))
        with apart("The training service's jobs could not be looked at"):
            self._strays(looked_at, until)
        with apart("The markers could not be looked at"):
            self.markers.send_again(min(until, self._in(self.timing.marker_round)))
        with apart("The drops that wait for an approval could not be looked at"):
            self.approver.carry_on(min(until, self._in(self.timing.approval_round)))

    def _in(self, seconds: float) -> datetime:
        return self.receipts.clock() + timedelta(seconds=seconds)

    def _is_lost(self, attempt: Attempt) -> bool:
        """Return whether an attempt was claimed so long ago that its job would exist if it had been submitted."""
        return self.receipts.clock() - attempt.claimed > timedelta(seconds=self.timing.lost_submission)

    def _open(self, run: str, looked_at: set[str], until: datetime) -> dict[str, Receipt]:
        """Look at open receipts, those first that the round before had no time for; return those that go on."""
        cursor = self._cursor()
        opened = list(self.receipts.opened())
        turn = bisect.bisect_right([f"{experiment}/{drop}" for experiment, drop in opened], cursor.opened)
        going: dict[str, Receipt] = {}
        until, last = min(until, self._in(self.timing.open_round)), ""
        for number, (experiment, drop) in enumerate((*opened[turn:], *opened[:turn]), start=1):
            with apart(f"The receipt {experiment}/{drop} could not be looked at"):
                receipt = self._receipt(experiment, drop, run, looked_at)
                if receipt and receipt.job and receipt.status not in (*FINAL, Status.COMPLETED):
                    going[receipt.job] = receipt
            if number < len(opened) and self.receipts.clock() > until:
                last = f"{experiment}/{drop}"
                break
        if last != cursor.opened:
            self._keep(cursor.model_copy(update={"opened": last}))
        return going

    def _receipt(self, experiment: str, drop: str, run: str, looked_at: set[str]) -> Receipt | None:
        receipt = self.receipts.find(experiment, drop)
        if receipt is None:
            self._unmark(experiment, drop)
            return None
        if receipt.outbox:
            receipt = self.receipts.flush(receipt)
        if not receipt.attempts:
            receipt = self._caught_up(receipt)
        if receipt.status is Status.WAITING:
            self.intake.look_again(receipt.folder, trigger=TRIGGER, run=run)
            if only_waits(receipt):
                return self.receipts.let_wait(receipt, only_waits)
        elif receipt.status in FINAL:
            return self.receipts.flush(receipt)
        elif receipt.status is Status.SUBMITTING:
            return self._resubmit(receipt)
        elif receipt.job is not None and receipt.status is not Status.QUEUED:
            looked_at.add(receipt.job)
            return self._follow(receipt, receipt.job)
        return receipt

    def _unmark(self, experiment: str, drop: str) -> None:
        """Take away a mark without a receipt, unless it may still get one: a claim's mark is written before it.

        Storage may miss a receipt once. So the first time is noted on the mark, which goes when that is so again later.
        """
        name = naming.open_blob(experiment, drop)
        listing = self.blobs.list(naming.RECEIPTS, name)
        for mark in listing.items:
            was_missed = _MISSED in mark.metadata
            wait = self.timing.lost_submission if was_missed else self.timing.max_function_runtime
            if listing.now - mark.modified <= timedelta(seconds=wait):
                continue
            with contextlib.suppress(PreconditionFailed):  # a claim has just written it again
                if was_missed:
                    self.blobs.delete(naming.RECEIPTS, name, etag=mark.etag)
                else:
                    self.blobs.replace(naming.RECEIPTS, name, b"", etag=mark.etag, metadata={_MISSED: "once"})

    def _caught_up(self, receipt: Receipt) -> Receipt:
        """Bring on an unclaimed drop whose host may have been killed before it was its experiment's latest."""
        if receipt.experiment == naming.ROOT_EXPERIMENT or is_deleting(self.blobs, receipt.experiment):
            return receipt  # files outside of any folder follow nothing
        return self.supersession.advance(receipt, supersede=False)

    def _resubmit(self, receipt: Receipt) -> Receipt:
        if receipt.attempt and self._is_lost(receipt.attempt):
            # Its host may have been killed before the drop was its experiment's latest.
            receipt = self.supersession.advance(receipt, supersede=self._supersedes(receipt))
            # Each round comes back by itself: a message a round would add up while the service does not answer.
            return self.submitter.submit(receipt, again=False)
        return receipt

    def _supersedes(self, receipt: Receipt) -> bool:
        try:
            return self.submitter.snapshots.options(receipt).supersede
        except UnreadableSnapshot:
            return False  # whoever submits it says so

    def _follow(self, receipt: Receipt, name: str) -> Receipt:
        """Look at the receipt's job. One that was missed for so long that it is gone is over."""
        try:
            job = self.training.get(name)
        except JobNotFound:
            receipt = self.watcher.missing.missed(receipt)
            if receipt.job != name or not self.watcher.missing.is_gone(receipt):
                return receipt
            if receipt.status is Status.COMPLETED:
                return self.watcher.registrar.abandon(receipt)
            return self.watcher.abandon(receipt)
        # Whoever saw the job complete looks again until it is registered; so does each round of this.
        followed = self.watcher.follow(job, again=receipt.status is not Status.COMPLETED) or receipt
        return self.missing_nodes.note(followed)

    def _places(self, going: dict[str, Receipt], until: datetime) -> None:
        """Bring the places of jobs to what their receipts say, and let those go on whose message was lost."""
        running = self.turns.admission.running()
        for job, receipt in going.items():
            if receipt.status is Status.QUEUED and (job in running or self.turns.admission.limits.are_off):
                with apart(f"The queued receipt {receipt.name} could not be looked at"):
                    going[job] = self.submitter.submit(receipt, again=False)
            if self.receipts.clock() > until:
                break
        self.turns.repair(going)

    def _strays(self, looked_at: set[str], until: datetime) -> None:
        """Look at the jobs that go on though no open receipt waits for them: nobody wants these any more."""
        until = min(until, self._in(self.timing.stray_round))
        for job in self.training.list():
            if not job.status.is_final and job.name not in looked_at:
                with apart(f"The job {job.name} could not be looked at"):
                    self.watcher.look(job.name)
            if self.receipts.clock() > until:
                break

    def _keep(self, cursor: Cursor) -> None:
        self.blobs.replace(naming.RECEIPTS, CURSOR, cursor.encoded())

    def _cursor(self) -> Cursor:
        try:
            return Cursor.decoded(self.blobs.read(naming.RECEIPTS, CURSOR).data)
        except (BlobNotFound, ValidationError):  # none yet, or another release's
            return Cursor()
