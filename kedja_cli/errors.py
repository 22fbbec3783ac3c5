"""The errors of the command, and the exit codes that scripts can rely on."""

import enum
from collections.abc import Sequence


class Exit(enum.IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    """Something went wrong, or a check failed."""
    USAGE = 2
    """The command line is wrong."""
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    """The service does not know the caller, or the caller may not do this."""
    UNSUCCESSFUL = 5
    """The drop or job that was waited for ended without its model."""
    TIMED_OUT = 6
    """The time to wait is over; the drop continues."""
    INTERRUPTED = 130
    """Ctrl-C, as in shells: 128 plus the number of the signal."""


class CommandError(Exception):
    """The command cannot continue. The message says why, and `what_to_do` how to fix it.

    `details` are further lines, such as the problems of a job.yaml.
    """

    def __init__(
        self, message: str, what_to_do: str | None = None, *, code: Exit = Exit.FAILED, details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.what_to_do = what_to_do
        self.code = code
        self.details = tuple(details)


class ServiceUnavailable(CommandError):
    """The service does not answer or is busy. The same request may succeed later."""
