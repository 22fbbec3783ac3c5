"""A progress bar on a terminal; nothing in a log."""

import sys
import time

_WIDTH = 30
_SECONDS = 0.1


class ProgressBar:
    """Shows the progress of an epoch on standard error."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._shows = sys.stderr.isatty()
        self._next = 0.0
        self._is_shown = False

    def show(self, number: int, done: float) -> None:
        """Show the fraction `done`, from 0 to 1, of epoch `number`."""
        if not self._shows or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS
        self._is_shown = True
        bar = ("#" * round(_WIDTH * done)).ljust(_WIDTH, ".")
        sys.stderr.write(f"\repoch {number}/{self._epochs} [{bar}] {done:4.0%}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Clear the line before other output."""
        if self._is_shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._is_shown = False
