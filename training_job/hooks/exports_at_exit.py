"""Exports the Links that a script saved, when its process ends.

The handler is registered when Chainer is imported, before most of a script's own handlers, and so runs after them. It
changes neither the exit code nor what the script prints, and gives up after `_SECONDS`.
"""

import atexit
import contextlib
import io
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from training_job import metrics, mpi_env
from training_job.errors import ExportError
from training_job.export import exports
from training_job.export.exports import Exports, Failure
from training_job.export.options import Onnx, Options
from training_job.hooks import import_hook, link_calls, saved_objects
from training_job.hooks.import_hook import Patch, PatchFinder

_SECONDS = 120


class _Process:
    """What this process has saved. `saved` is a SavedNetworks once something was."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.saved: Any = None
        self.options = Options()


_process = _Process()


def remember(obj: Any, record: Mapping[str, Any], kind: str) -> None:  # noqa: ANN401 - Chainer has no types
    """Remember what was saved: a Link, or a Trainer or Updater (`kind` is `snapshot`); `record` says where and when."""
    if _process.pid != os.getpid():
        return
    from training_job.export import saved_networks  # noqa: PLC0415 - only in a process that saves a Link
    from training_job.export.saved_networks import SavedLink, SavedNetworks  # noqa: PLC0415 - as above
    from training_job.export.weights import Format  # noqa: PLC0415 - as above

    if _process.saved is None:
        _process.saved = SavedNetworks()
    path = Path(str(record["path"]))
    found = record.get("file")
    if kind == Format.SNAPSHOT:
        links = list(saved_networks.parts_of_snapshot(obj, path))
    elif saved_objects.link_of(obj, inside=False) is not None:
        inode = None if found is None else (found[0], found[1])
        links = [SavedLink(link=obj, path=path, format=Format(kind), name=path.stem, inode=inode)]
    else:
        links = []
    for link in links:
        _process.saved.add(link, record["step"])


def finish() -> Exports | None:
    """Export what was saved; None if that is nothing, or if this process has exported by itself."""
    link_calls.remove_all()
    if _process.pid != os.getpid() or not _process.saved or exports.is_written():
        return None
    from training_job.export import saved_networks  # noqa: PLC0415 - as above
    from training_job.export.recorded_calls import CALLS  # noqa: PLC0415 - as above

    folder = Path(os.environ[metrics.FILE_VARIABLE]).absolute().parent / exports.FOLDER
    saved = _process.saved.last()
    with _quietly():
        try:
            with _limited():
                return saved_networks.export(saved, CALLS, folder, _process.options)
        except Exception as error:  # noqa: BLE001 - the script has ended well
            reason = f"{type(error).__name__}: {error}"
            failed = Exports((), tuple(Failure(link=type(one.link).__name__, reason=reason) for one in saved))
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                exports.write(folder, failed)
            return failed


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Discard what the script's Links print, and its warnings, which may be errors."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raise an error in the main thread after the time that an export may take."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"the export took more than {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _at_exit(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the signature of a patch
    yield
    _process.pid = os.getpid()
    atexit.register(_finish_silently)


def _finish_silently() -> None:
    with contextlib.suppress(Exception):
        finish()


_FINDER = PatchFinder(
    (
        Patch(
            module="chainer.link",
            symptom="nothing: the saved model would need Chainer",
            since="-",
            fix="what was saved is exported as ONNX when the process ends",
            apply=_at_exit,
        ),
    )
)


def install() -> None:
    """Install the hook, if `launch` started this process as the first rank and job.yaml does not say never."""
    if metrics.FILE_VARIABLE not in os.environ or mpi_env.rank() != 0:
        return
    with contextlib.suppress(ExportError):  # `launch` reports it
        _process.options = Options.from_environment()
    if _process.options.onnx is not Onnx.NEVER:
        link_calls.install()
        import_hook.install(_FINDER)
