"""Rounds over many items: log an error for one item and continue with the rest."""

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def isolate_errors(problem: str, *, again: str = "the next round") -> Iterator[None]:
    """Log any error of the block, and continue. `problem` says what failed, `again` what tries it again."""
    try:
        yield
    except Exception:
        logger.exception("%s; %s tries again.", problem, again)
