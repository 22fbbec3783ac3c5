"""Defers SIGTERM until a training loop has finished its iteration."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

EXIT_CODE = 128 + signal.SIGTERM


class Termination:
    """Records SIGTERM in `is_requested` while entered, in the main thread, unless the script has its own handler."""

    def __init__(self) -> None:
        self.is_requested = False
        self._owner = os.getpid()
        self._is_ours = False

    def __enter__(self) -> Self:
        self._is_ours = (
            threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )
        if self._is_ours:
            signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _note(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A forked worker inherits this handler, and must end, as its pool waits for it.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.is_requested = True
