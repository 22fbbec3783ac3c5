"""Apart: what fails with one of many things, in whatever way, does not keep the others waiting."""

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def apart(problem: str, *, again: str = "the next round") -> Iterator[None]:
    """Log whatever fails in here, and go on. `problem` says what could not be done, `again` when it is tried again."""
    try:
        yield
    except Exception:
        logger.exception("%s; %s tries again.", problem, again)
