"""Reports worker processes of `multiprocessing` that end abnormally, as a Pool replaces them without a word.

A Pool, and so Chainer's MultiprocessIterator, never learns of the task that a dead worker had, and waits for it for
ever. `launcher.watchdog` ends such a job.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder

_SIGNALLED = "_kedja_signalled"


@contextlib.contextmanager
def _popen(module: ModuleType) -> Iterator[None]:
    yield
    process = module.Popen
    poll, send_signal = process.poll, process._send_signal  # noqa: SLF001 - `terminate` and `kill` call it

    @functools.wraps(poll)
    def poll_and_report(self: Any, flag: int = os.WNOHANG) -> int | None:  # noqa: ANN401 - a class of the module
        before = self.returncode
        code: int | None = poll(self, flag)
        if before is None and code and not hasattr(self, _SIGNALLED):
            metrics.dead_worker(self.pid, code)
        return code

    @functools.wraps(send_signal)
    def send(self: Any, number: int) -> None:  # noqa: ANN401 - as above
        setattr(self, _SIGNALLED, True)
        send_signal(self, number)

    process.poll, process._send_signal = poll_and_report, send  # noqa: SLF001 - as above


_FINDER = PatchFinder(
    (
        Patch(
            module="multiprocessing.popen_fork",
            symptom="a script waits for ever for a worker that is dead",
            since="-",
            fix="the end of a worker that the script has not asked for is reported",
            apply=_popen,
        ),
    )
)


def install() -> None:
    """Install the hook, if `launch` started this process."""
    if metrics.FILE_VARIABLE in os.environ:
        import_hook.install(_FINDER)
