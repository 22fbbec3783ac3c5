"""Progress of an upload on a terminal: a bar for each file that is on its way, and one for all."""

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
from kedja_cli.files.uploader import Watcher
from kedja_cli.output import plain

_MOST_BARS = 8
"""Bars of files at once; of more files under way the others are in the bar of all."""


@define
class UploadProgress(Watcher):
    """Draws what an uploader tells."""

    progress: Progress
    everything: TaskID
    count: int
    _bars: dict[LocalFile, TaskID] = field(factory=dict, init=False)
    _done: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def drawn(cls, console: Console, files: Sequence[LocalFile]) -> Iterator[Watcher]:
        """Draw for as long as the context. Where nobody looks, nothing is drawn."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            everything = progress.add_task(f"0/{len(files)} files", total=sum(file.size for file in files))
            yield cls(progress, everything, len(files))

    def begins(self, file: LocalFile) -> None:
        with self._lock:
            if len(self._bars) < _MOST_BARS:
                self._bars[file] = self.progress.add_task(plain(f"  {file.name}"), total=file.size)

    def moves(self, file: LocalFile, size: int) -> None:
        self.progress.advance(self.everything, size)
        if bar := self._bars.get(file):
            self.progress.advance(bar, size)

    def ends(self, file: LocalFile, *, sent: bool) -> None:
        with self._lock:
            self._done += 1
            if bar := self._bars.pop(file, None):
                self.progress.remove_task(bar)
        self.progress.update(self.everything, description=f"{self._done}/{self.count} files")
        if not sent:
            self.progress.advance(self.everything, file.size)
