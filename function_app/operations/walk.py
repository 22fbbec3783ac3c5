"""The walk: check every experiment's folders in turn for files whose events were lost.

It has its own timer, so that nothing else delays it.
"""

import logging
from datetime import datetime

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import newest_upload
from function_app.domain.receipt_transitions import drop_order
from function_app.drops.intake import Intake
from function_app.errors import StorageError, StorageUnavailable
from function_app.operations.rounds import TRIGGER, RoundCursor, isolate_errors
from function_app.ports.clock import Clock, time_after
from function_app.ports.storage import Blobs, Folders
from function_app.store.deletions import deleted_until, is_deleting
from function_app.store.receipts import Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)

CURSOR = ".walk"
EXPERIMENTS_AT_ONCE = 20
"""Experiments on a page of the walk: the min of a round."""


class WalkCursor(RoundCursor):
    """Where the walk over experiments continues: a page of a container's folders, those of `data` first.

    `last` is the last folder checked on that page, if time ran out before its end.
    """

    container: str = naming.DATA
    token: str | None = None
    last: str = ""


@frozen(kw_only=True)
class Walk:
    """Finds files whose events were lost."""

    blobs: Blobs
    clock: Clock
    intake: Intake
    receipts: Receipts
    timing: Timing

    def run(self, *, id: str) -> None:  # noqa: A002 - the id of this run, which its markers contain
        """Look for files newer than the experiments' latest receipts, page by page, until the end or out of time."""
        with isolate_errors("The experiments could not be checked"):
            self._run(id)

    def _run(self, run: str) -> None:
        pages_until = time_after(self.clock, self.timing.walk_round)
        folders_until = time_after(self.clock, self.timing.max_walk_round)
        cursor: WalkCursor | None = WalkCursor.load(self.blobs, CURSOR)
        while cursor is not None:
            page = self._page(cursor)
            if page is None:
                WalkCursor().save(self.blobs, CURSOR)
                break
            cursor = self._walk_page(cursor, page, run, until=folders_until)
            (cursor or WalkCursor()).save(self.blobs, CURSOR)
            if self.clock() > pages_until:
                break

    def _page(self, cursor: WalkCursor) -> Folders | None:
        """Return a page of folders, or None if storage refuses its token: the next round starts at the beginning."""
        try:
            return self.blobs.folders(cursor.container, size=EXPERIMENTS_AT_ONCE, token=cursor.token)
        except StorageUnavailable:
            raise
        except StorageError:
            if cursor.token is None:
                raise
            logger.exception("%s/%s has a token that storage refuses; the walk starts again.", naming.RECEIPTS, CURSOR)
            return None

    def _walk_page(self, cursor: WalkCursor, page: Folders, run: str, *, until: datetime) -> WalkCursor | None:
        """Check a page of experiments, at least one; return where to continue, or None at the end."""
        left = [folder for folder in page.names if folder > cursor.last]
        for folder in left:
            self._look_for_drop(cursor.container, folder, run)
            if folder != left[-1] and self.clock() > until:
                return WalkCursor(container=cursor.container, token=cursor.token, last=folder)
        if page.token is not None:
            return WalkCursor(container=cursor.container, token=page.token)
        return WalkCursor(container=naming.SCRIPTS) if cursor.container == naming.DATA else None

    def _look_for_drop(self, container: str, folder: str, run: str) -> None:
        """Check the folder in this container only: the walk covers the other container separately."""
        if naming.is_ignored(folder):
            return
        with isolate_errors(f"The folder {container}/{folder} could not be checked"):
            newest = newest_upload(self.blobs, container, folder)
            if newest is not None and self._is_new(naming.slug(folder), newest):
                self.intake.look_again(folder, trigger=TRIGGER, run=run)

    def _is_new(self, experiment: str, newest: datetime) -> bool:
        """Return whether a file is newer than the experiment's latest drop, or than its deletion."""
        latest = self.receipts.latest(experiment)
        if latest is not None:
            # A file written in the second of the listing may have come after it.
            return newest > latest.newest_upload or drop_order(newest) >= latest.known
        if is_deleting(self.blobs, experiment):
            return False  # a walk after the deletion finds it
        deleted = deleted_until(self.blobs, experiment)
        return deleted is None or int(newest.timestamp()) >= deleted
