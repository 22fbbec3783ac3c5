"""Rounds over many items: where the next one continues, and errors of one item that do not stop the rest."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Self

from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.errors import BlobNotFound
from function_app.ports.storage import Blobs

logger = logging.getLogger(__name__)

TRIGGER = "reconcile"
"""The trigger, on receipts, of drops that a round found."""


class RoundCursor(Document):
    """Where the next round continues, in a blob among the receipts. Without it, a round starts at the beginning."""

    @classmethod
    def load(cls, blobs: Blobs, name: str) -> Self:
        """Return the cursor that the last round saved."""
        try:
            return cls.from_bytes(blobs.read(naming.RECEIPTS, name).data)
        except (BlobNotFound, ValidationError):  # none yet, or written by another release
            return cls()

    def save(self, blobs: Blobs, name: str) -> None:
        """Keep the cursor for the next round."""
        blobs.replace(naming.RECEIPTS, name, self.to_bytes())


@contextlib.contextmanager
def isolate_errors(problem: str, *, again: str = "the next round") -> Iterator[None]:
    """Log any error of the block, and continue. `problem` says what failed, `again` what tries it again."""
    try:
        yield
    except Exception:
        logger.exception("%s; %s tries again.", problem, again)
