"""Progress of an upload on a terminal: a bar for each file that is being sent, and one for all files."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from kedja_cli.files.local_file import LocalFile
from kedja_cli.files.uploader import UploadListener
from kedja_cli.output import printable

_MAX_BARS = 8
"""The maximum number of bars for single files. Further files move only the bar for all files."""


@define
class UploadProgress(UploadListener):
    """Draws the progress that an uploader reports."""

    progress: Progress
    total: TaskID
    count: int
    _bars: dict[LocalFile, TaskID] = field(factory=dict, init=False)
    _done: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def show(cls, console: Console, files: Sequence[LocalFile]) -> Iterator[UploadListener]:
        """Draw the bars while the context lasts; draw nothing if `console` is not a terminal."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            total = progress.add_task(f"0/{len(files)} files", total=sum(file.size for file in files))
            yield cls(progress, total, len(files))

    def on_start(self, file: LocalFile) -> None:
        """Add a bar for a file, unless there are too many."""
        with self._lock:
            if len(self._bars) < _MAX_BARS:
                self._bars[file] = self.progress.add_task(printable(f"  {file.name}"), total=file.size)

    def on_progress(self, file: LocalFile, size: int) -> None:
        """Advance the bars by `size` bytes."""
        self.progress.advance(self.total, size)
        if bar := self._bars.get(file):
            self.progress.advance(bar, size)

    def on_end(self, file: LocalFile, *, sent: bool) -> None:
        """Remove the bar of a file, and count the file."""
        with self._lock:
            self._done += 1
            if bar := self._bars.pop(file, None):
                self.progress.remove_task(bar)
        self.progress.update(self.total, description=f"{self._done}/{self.count} files")
        if not sent:
            self.progress.advance(self.total, file.size)
