"""Supersession: a newer drop of an experiment takes the place of an older one whose job has not started."""

import logging

from attrs import frozen

from function_app.domain.cloud_events import Announced
from function_app.domain.receipt import NOT_STARTED, Receipt, Status
from function_app.errors import JobNotFound, TrainingServiceUnavailable
from function_app.jobs.job_queue import Turns
from function_app.ports.training_service import JobStatus, TrainingService
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Supersession:
    """Moves an experiment on to its newest drop."""

    receipts: Receipts
    training: TrainingService
    turns: Turns

    def advance(self, receipt: Receipt, *, supersede: bool) -> Receipt:
        """Make the receipt its experiment's latest, and take the place of older ones that have not started.

        The latest before it is told what followed. Where a newer drop was faster, it is this one that is superseded.
        Every step may be repeated. Return the receipt as it is then.
        """
        latest = self.receipts.latest(receipt.experiment)
        if latest is None or not latest.covers(receipt):
            latest = self.receipts.advance(receipt)
        if latest.drop != receipt.drop:
            newer = self.receipts.find(receipt.experiment, latest.drop)
            return self._overtaken(receipt, newer, supersede=supersede) if newer else receipt
        older = self.receipts.find(receipt.experiment, latest.follows) if latest.follows else None
        if older is not None:
            self._follow(older, receipt)
        if receipt.status is Status.SUBMITTING and supersede:
            for experiment, drop in list(self.receipts.opened(receipt.experiment)):
                older = self.receipts.find(experiment, drop)
                is_older = older and older.drop != receipt.drop and older.order < receipt.order
                if older and is_older and _is_of_newer_files(receipt, older):
                    self._supersede(older, receipt)
        return receipt

    def _overtaken(self, receipt: Receipt, newer: Receipt, *, supersede: bool) -> Receipt:
        """Return the receipt of a drop that was not its experiment's latest in time."""
        gives_way = supersede and receipt.status is Status.SUBMITTING
        if gives_way and newer.attempts and _is_of_newer_files(newer, receipt):
            return self._supersede(receipt, newer)
        # Nobody else tells it: what the latest follows is the one that was the latest before.
        return receipt if receipt.followed_by else self._follow(receipt, newer)

    def _follow(self, older: Receipt, newer: Receipt) -> Receipt:
        """Tell an older drop what followed; one that still waited is over."""
        if older.order > newer.order:
            return older

        def edit(current: Receipt) -> Receipt:
            followed = current.with_(followed_by=newer.drop)
            if current.status is not Status.WAITING or not _is_of_newer_files(newer, current):
                return followed
            return followed.moved(
                Status.SUPERSEDED, self.receipts.clock(), f"The drop {newer.drop[:16]} took its place."
            ).with_(superseded_by=newer.drop)

        older = self.receipts.change(older, edit)
        if older.status is Status.SUPERSEDED:
            self.receipts.index(older)  # a call that was killed may have written the receipt and not its index
        return older

    def _supersede(self, older: Receipt, newer: Receipt) -> Receipt:
        """Take the place of a drop whose job has not started.

        A job that starts in between is left alone: it is a model sooner.
        """

        def edit(current: Receipt) -> Receipt:
            if current.status not in NOT_STARTED or current.job != older.job:
                return current
            status = Status.CANCELING
            if current.status in (Status.WAITING, Status.QUEUED):
                status = Status.SUPERSEDED
            now = self.receipts.clock()
            reason = f"The drop {newer.drop[:16]} took its place before its job had started."
            moved = current.moved(status, now, reason).with_(superseded_by=newer.drop, followed_by=newer.drop)
            if current.status is not Status.QUEUED:
                return moved
            return moved.announcing(Announced.JOB_CANCELED, now, superseded_by=newer.drop)

        if older.status in NOT_STARTED and not self._has_started(older):
            older = self.receipts.change(older, edit)
        if older.status is Status.CANCELING and older.job:
            try:
                self.training.cancel(older.job)
            except (JobNotFound, TrainingServiceUnavailable) as error:
                # The submission that is under way, or `reconcile`, finds the receipt canceling and cancels the job.
                logger.info("%s is not canceled yet: %s", older.job, error)
        if older.status is Status.SUPERSEDED and older.job:
            self.turns.leave(older)
            older = self.receipts.flush(older)
        return older

    def _has_started(self, receipt: Receipt) -> bool:
        attempt = receipt.attempt
        if attempt is None or receipt.status is Status.QUEUED:
            return False
        try:
            return self.training.get(attempt.job).status not in (JobStatus.STARTING, JobStatus.CANCELING)
        except JobNotFound:
            # One that was seen before may run: `reconcile` finds out whether it is gone.
            return attempt.status is not None


def _is_of_newer_files(newer: Receipt, older: Receipt) -> bool:
    """Return whether the newest file of the one is no older than that of the other.

    Somebody who retries an older drop wants its job, and not that what was dropped since is never trained on.
    """
    return newer.newest_upload >= older.newest_upload
