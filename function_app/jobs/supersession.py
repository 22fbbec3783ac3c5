"""Supersession: a newer drop of an experiment replaces an older one whose job has not started."""

import logging

from attrs import frozen

from function_app.domain.cloud_events import EventType
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import NOT_STARTED, Receipt, Status
from function_app.errors import JobNotFound, TrainingServiceUnavailable
from function_app.jobs.job_queue import JobQueue
from function_app.ports.clock import Clock
from function_app.ports.training_service import JobStatus, TrainingService
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Supersession:
    """Makes the newest drop an experiment's latest."""

    clock: Clock
    receipts: Receipts
    training: TrainingService
    job_queue: JobQueue

    def promote_to_latest(self, receipt: Receipt, *, supersede: bool) -> Receipt:
        """Make the receipt its experiment's latest, and supersede older ones that have not started.

        The previous latest receipt records which drop followed it. If a newer drop came first, this one is superseded.
        Every step may be repeated. Return the receipt as it is afterwards.
        """
        latest = self.receipts.latest(receipt.experiment)
        if latest is None or not latest.covers(receipt):
            latest = self.receipts.advance(receipt)
        if latest.drop != receipt.drop:
            newer = self.receipts.find(latest.ref)
            return self._overtaken(receipt, newer, supersede=supersede) if newer else receipt
        older = self.receipts.find(DropRef(receipt.experiment, latest.follows)) if latest.follows else None
        if older is not None:
            self._set_followed_by(older, receipt)
        if receipt.status is Status.SUBMITTING and supersede:
            for ref in list(self.receipts.list_open(receipt.experiment)):
                older = self.receipts.find(ref)
                is_older = older and older.drop != receipt.drop and older.order < receipt.order
                if older and is_older and _is_of_newer_files(receipt, older):
                    self._supersede(older, receipt)
        return receipt

    def _overtaken(self, receipt: Receipt, newer: Receipt, *, supersede: bool) -> Receipt:
        """Handle a drop that is not its experiment's latest, because a newer one came first; return its receipt."""
        gives_way = supersede and receipt.status is Status.SUBMITTING
        if gives_way and newer.attempts and _is_of_newer_files(newer, receipt):
            return self._supersede(receipt, newer)
        # No other call records this: the latest receipt follows the one that was the latest before it.
        return receipt if receipt.followed_by else self._set_followed_by(receipt, newer)

    def _set_followed_by(self, older: Receipt, newer: Receipt) -> Receipt:
        """Record on an older receipt which drop followed it; supersede it if it was still waiting."""
        if older.order > newer.order:
            return older

        def edit(current: Receipt) -> Receipt:
            followed = current.replace(followed_by=newer.drop)
            if current.status is not Status.WAITING or not _is_of_newer_files(newer, current):
                return followed
            return followed.with_status(
                Status.SUPERSEDED, self.clock(), f"The newer drop {newer.drop[:16]} replaced it."
            ).replace(superseded_by=newer.drop)

        older = self.receipts.change(older, edit)
        if older.status is Status.SUPERSEDED:
            self.receipts.write_index(older)  # a killed call may have written the receipt without its index
        return older

    def _supersede(self, older: Receipt, newer: Receipt) -> Receipt:
        """Supersede a drop whose job has not started.

        A job that starts meanwhile continues: it yields a model sooner.
        """

        def edit(current: Receipt) -> Receipt:
            if current.status not in NOT_STARTED or current.job != older.job:
                return current
            status = Status.CANCELING
            if current.status in (Status.WAITING, Status.QUEUED):
                status = Status.SUPERSEDED
            now = self.clock()
            reason = f"The newer drop {newer.drop[:16]} replaced it before its job started."
            moved = current.with_status(status, now, reason).replace(superseded_by=newer.drop, followed_by=newer.drop)
            if current.status is not Status.QUEUED:
                return moved
            return moved.with_event(EventType.JOB_CANCELED, now, superseded_by=newer.drop)

        if older.status in NOT_STARTED and not self._has_started(older):
            older = self.receipts.change(older, edit)
        if older.status is Status.CANCELING and older.job:
            try:
                self.training.cancel(older.job)
            except (JobNotFound, TrainingServiceUnavailable) as error:
                # The submission in progress, or `reconcile`, finds the receipt `canceling` and cancels the job.
                logger.info("%s is not canceled yet: %s", older.job, error)
        if older.status is Status.SUPERSEDED and older.job:
            self.job_queue.dequeue(older)
            older = self.receipts.publish_outbox(older)
        return older

    def _has_started(self, receipt: Receipt) -> bool:
        attempt = receipt.attempt
        if attempt is None or receipt.status is Status.QUEUED:
            return False
        try:
            return self.training.get(attempt.job).status not in (JobStatus.STARTING, JobStatus.CANCELING)
        except JobNotFound:
            # A job that was seen before may be running: `reconcile` finds out whether it is gone.
            return attempt.status is not None


def _is_of_newer_files(newer: Receipt, older: Receipt) -> bool:
    """Return whether the newer drop's newest file is at least as new as that of the older drop.

    A retry of an older drop is not to cancel the training of files that were dropped since.
    """
    return newer.newest_upload >= older.newest_upload
