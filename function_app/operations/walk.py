"""The walk: a look at every experiment's folders, in turn, for files that no event told of.

It has a timer of its own, so that nothing else keeps it waiting.
"""

import logging
from datetime import datetime, timedelta

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop import newest_upload
from function_app.domain.receipt_transitions import sequence
from function_app.drops.intake import Intake
from function_app.errors import BlobNotFound, StorageError, StorageUnavailable
from function_app.operations.rounds import apart
from function_app.ports.storage import Blobs, Folders
from function_app.store.deletions import deleted_before, is_deleting
from function_app.store.receipts import Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)

CURSOR = ".walk"
EXPERIMENTS_AT_ONCE = 20
"""Experiments on a page of the walk: what a round does at least."""
TRIGGER = "reconcile"


class Cursor(Document):
    """Where the walk over experiments goes on: a page of a container's folders, those of `data` first.

    `last` is the folder of that page that was looked at last, if there was no time for all of them.
    """

    container: str = naming.DATA
    token: str | None = None
    last: str = ""


@frozen(kw_only=True)
class Walk:
    """Finds files whose events were lost."""

    blobs: Blobs
    intake: Intake
    receipts: Receipts
    timing: Timing

    def run(self, *, id: str) -> None:  # noqa: A002 - the id of this run, which makes its markers its own
        """Look for files newer than their experiments' latest receipts know, page by page, until all were looked at."""
        with apart("The experiments could not be looked at"):
            self._run(id)

    def _run(self, run: str) -> None:
        pages_until = self._in(self.timing.walk_round)
        folders_until = self._in(self.timing.max_walk_round)
        cursor: Cursor | None = self._cursor()
        while cursor is not None:
            page = self._page(cursor)
            if page is None:
                self._keep(Cursor())
                break
            cursor = self._walk_page(cursor, page, run, until=folders_until)
            self._keep(cursor or Cursor())
            if self.receipts.clock() > pages_until:
                break

    def _in(self, seconds: float) -> datetime:
        return self.receipts.clock() + timedelta(seconds=seconds)

    def _page(self, cursor: Cursor) -> Folders | None:
        """Return a page of folders, or None if storage refuses its token: the next round starts from the beginning."""
        try:
            return self.blobs.folders(cursor.container, size=EXPERIMENTS_AT_ONCE, token=cursor.token)
        except StorageUnavailable:
            raise
        except StorageError:
            if cursor.token is None:
                raise
            logger.exception("%s/%s cannot be followed; the walk starts anew.", naming.RECEIPTS, CURSOR)
            return None

    def _walk_page(self, cursor: Cursor, page: Folders, run: str, *, until: datetime) -> Cursor | None:
        """Look at a page of experiments, one at least; return where to go on, or None at the end."""
        left = [folder for folder in page.names if folder > cursor.last]
        for folder in left:
            self._look_for_drop(cursor.container, folder, run)
            if folder != left[-1] and self.receipts.clock() > until:
                return Cursor(container=cursor.container, token=cursor.token, last=folder)
        if page.token is not None:
            return Cursor(container=cursor.container, token=page.token)
        return Cursor(container=naming.SCRIPTS) if cursor.container == naming.DATA else None

    def _look_for_drop(self, container: str, folder: str, run: str) -> None:
        """Look at the folder in this container alone: the walk comes by it in the other one too."""
        if naming.is_ignored(folder):
            return
        with apart(f"The folder {container}/{folder} could not be looked at"):
            newest = newest_upload(self.blobs, container, folder)
            if newest is not None and self._is_new(naming.slug(folder), newest):
                self.intake.look_again(folder, trigger=TRIGGER, run=run)

    def _is_new(self, experiment: str, newest: datetime) -> bool:
        """Return whether a file is newer than the experiment's latest drop, or than its deletion."""
        latest = self.receipts.latest(experiment)
        if latest is not None:
            # What was written in the second of the listing may have come after it.
            return newest > latest.newest_upload or sequence(newest) >= latest.known
        if is_deleting(self.blobs, experiment):
            return False  # a walk after its end tells
        deleted = deleted_before(self.blobs, experiment)
        return deleted is None or int(newest.timestamp()) >= deleted

    def _keep(self, cursor: Cursor) -> None:
        self.blobs.replace(naming.RECEIPTS, CURSOR, cursor.encoded())

    def _cursor(self) -> Cursor:
        try:
            return Cursor.decoded(self.blobs.read(naming.RECEIPTS, CURSOR).data)
        except (BlobNotFound, ValidationError):  # none yet, or another release's
            return Cursor()
