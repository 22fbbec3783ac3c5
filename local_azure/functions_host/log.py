"""The Functions host's log: one line per record on standard error, with its function and invocation."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from azure_functions_runtime import invocation_id_cv


class HostFormatter(logging.Formatter):
    """`time level [function invocation] message`; a traceback follows on further lines.

    `running` maps invocation ids to function names. Records from outside an invocation have `[host]`.
    """

    def __init__(self, running: Mapping[str, str]) -> None:
        super().__init__("%(utc)s %(levelname)-7s [%(source)s] %(message)s")
        self._running = running

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of text."""
        invocation = invocation_id_cv.get()
        name = self._running.get(invocation) if invocation is not None else None
        record.source = f"{name} {invocation}" if name else "host"
        record.utc = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return super().format(record)


def log_to_stderr(running: Mapping[str, str]) -> None:
    """Write every record of level INFO and above to standard error.

    Omitted below WARNING: the storage client's line per HTTP call (each poll is one), and the worker library's two
    lines per invocation, which say less than the host's own.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HostFormatter(running))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("azure.core.pipeline.policies.http_logging_policy", "azure.functions", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
