"""Reconciliation: what the events should have done, done without them.

It lists what is open, never history: open receipts against their jobs, markers that no message stands behind, and as
many experiments as there is time for, in turn, for files that no event told of.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app import names
from function_app.completion import Watcher
from function_app.documents import Document
from function_app.drop import Drop
from function_app.errors import BlobNotFound, JobNotFound, KedjaError
from function_app.intake import Intake, Marker, SettleRequest
from function_app.receipt import FINAL, Receipt, Status
from function_app.receipts import Receipts
from function_app.storage import Blobs
from function_app.submission import Submitter
from function_app.training_service import TrainingService

logger = logging.getLogger(__name__)

CURSOR = ".reconcile"
EXPERIMENTS_AT_ONCE = 20
"""Experiments on a page of the walk: what a round does at least."""
WALK = timedelta(minutes=2)
"""A round's walk begins no page after this time; the next round goes on where it was."""
STALE_MARKER = 2.0
"""Quiet periods after which a marker is taken for one whose message was lost."""
LOST_SUBMISSION = timedelta(minutes=5)
"""A claimed attempt without a job is taken for lost after this time."""
TRIGGER = "reconcile"


class Cursor(Document):
    """Where the walk over experiments goes on: a page of a container's folders, those of `data` first."""

    container: str = names.DATA
    token: str | None = None


@frozen(kw_only=True)
class Reconciler:
    """Finds what was lost on the way, and sets it going again."""

    blobs: Blobs
    intake: Intake
    receipts: Receipts
    submitter: Submitter
    training: TrainingService
    watcher: Watcher

    def run(self, *, id: str) -> None:  # noqa: A002 - the id of this run, which makes its markers its own
        """Do one round. What fails with one receipt does not keep the others waiting."""
        looked_at: set[str] = set()
        for experiment, drop in list(self.receipts.opened()):
            try:
                self._receipt(experiment, drop, id, looked_at)
            except KedjaError:
                logger.exception(
                    "The receipt %s/%s could not be reconciled; the next round tries again.", experiment, drop
                )
        self._strays(looked_at)
        self._markers()
        self._walk(id)

    def _receipt(self, experiment: str, drop: str, run: str, looked_at: set[str]) -> None:
        receipt = self.receipts.find(experiment, drop)
        if receipt is None:
            self.blobs.delete(names.RECEIPTS, names.open_blob(experiment, drop))
            return
        if receipt.outbox:
            receipt = self.receipts.flush(receipt)
        if receipt.status is Status.WAITING:
            self._settle(receipt.folder, run)
        elif receipt.status in FINAL:
            self.receipts.flush(receipt)
        elif receipt.status is Status.SUBMITTING:
            self._resubmit(receipt)
        elif receipt.job is not None:
            looked_at.add(receipt.job)
            self._follow(receipt, receipt.job)

    def _resubmit(self, receipt: Receipt) -> None:
        attempt = receipt.attempt
        if attempt and self.receipts.clock() - attempt.claimed > LOST_SUBMISSION:
            # Each round comes back by itself: a message a round would add up while the service does not answer.
            self.submitter.submit(receipt, again=False)

    def _follow(self, receipt: Receipt, name: str) -> None:
        """Look at the receipt's job. One that never came to be, and is not wanted any more, is over."""
        try:
            job = self.training.get(name)
        except JobNotFound:
            attempt = receipt.attempt
            if attempt and self.receipts.clock() - attempt.claimed > LOST_SUBMISSION:
                self.watcher.abandon(receipt)
            return
        # Whoever saw the job complete looks again until it is registered; so does each round of this.
        self.watcher.follow(job, again=receipt.status is not Status.COMPLETED)

    def _strays(self, looked_at: set[str]) -> None:
        """Look at the jobs that go on though no open receipt waits for them: nobody wants these any more."""
        try:
            for job in self.training.list():
                if not job.status.is_final and job.name not in looked_at:
                    self.watcher.look(job.name)
        except KedjaError:
            logger.exception("The training service's jobs could not be looked at; the next round tries again.")

    def _markers(self) -> None:
        listing = self.blobs.list(names.RECEIPTS, names.settling_blob(""))
        limit = timedelta(seconds=STALE_MARKER * self.intake.quiet_period)
        for item in listing.items:
            if listing.now - item.modified <= limit:
                continue
            try:
                marker = Marker.decoded(self.blobs.read(names.RECEIPTS, item.name).data)
            except BlobNotFound:
                continue
            except ValidationError:
                # It would keep every event of its experiment out; without it, the walk finds what was dropped.
                logger.exception("%s/%s is no marker: it is deleted.", names.RECEIPTS, item.name)
                self.blobs.delete(names.RECEIPTS, item.name, etag=item.etag)
                continue
            if listing.now - item.modified > limit + timedelta(seconds=marker.delay):
                # The marker stays: whoever settles deletes it. Another message for the same look does no harm.
                self.intake.enqueue(marker.request, delay=0)

    def _walk(self, run: str) -> None:
        """Look for files newer than their experiments' latest receipts know, page by page, until all were looked at."""
        began = self.receipts.clock()
        cursor: Cursor | None = self._cursor()
        while cursor is not None and self.receipts.clock() - began <= WALK:
            cursor = self._walk_page(cursor, run)
            self.blobs.replace(names.RECEIPTS, CURSOR, (cursor or Cursor()).encoded())

    def _walk_page(self, cursor: Cursor, run: str) -> Cursor | None:
        """Look at a page of experiments; return where to go on, or None at the end."""
        page = self.blobs.folders(cursor.container, size=EXPERIMENTS_AT_ONCE, token=cursor.token)
        self._look_for_drops(page.names, run)
        if page.token is not None:
            return Cursor(container=cursor.container, token=page.token)
        return Cursor(container=names.SCRIPTS) if cursor.container == names.DATA else None

    def _look_for_drops(self, folders: Iterable[str], run: str) -> None:
        for folder in folders:
            if names.is_ignored(folder):
                continue
            try:
                self._look_for_drop(folder, run)
            except (KedjaError, ValidationError):
                logger.exception("The folder %s could not be looked at; the walk goes on.", folder)

    def _look_for_drop(self, folder: str, run: str) -> None:
        drop = Drop.take(self.blobs, folder)
        latest = self.receipts.latest(drop.experiment)
        if drop.newest and not drop.is_empty and (latest is None or drop.newest > latest.newest_upload):
            self._settle(folder, run)

    def _settle(self, folder: str, run: str) -> None:
        request = SettleRequest(experiment=names.slug(folder), folder=folder, trigger=TRIGGER)
        self.intake.schedule(request, message=f"{TRIGGER}-{run}", delay=0)

    def _cursor(self) -> Cursor:
        try:
            return Cursor.decoded(self.blobs.read(names.RECEIPTS, CURSOR).data)
        except (BlobNotFound, ValidationError):  # none yet, or another release's
            return Cursor()
