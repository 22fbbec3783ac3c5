"""The downloader: a model version's files, in pieces and at once, each compared with its SHA-256.

A file is written as `.<name>.part` and renamed when it is complete and right, so a file that stands under its name is
whole. Beside a large one `.<name>.pieces` notes which pieces are there, so that a download goes on where it was.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from kedja_cli.errors import CommandError
from kedja_cli.files.download_path import check_inside, places
from kedja_cli.files.storage_client import StorageWire, unreachable
from kedja_cli.json_text import Json

PIECE = 8 << 20
"""Bytes that one request fetches."""
PARALLEL = 16

_CHUNK = 256 << 10
_ATTEMPTS = 4


@frozen(kw_only=True)
class RemoteFile:
    """A file of a model version. `path` is relative, `size` in bytes; of the hashes one at least is there."""

    path: str
    size: int
    sha256: str | None
    md5: str | None
    url: str = field(repr=False)

    def length(self, index: int) -> int:
        """Return how many bytes a piece has."""
        return min(PIECE, self.size - index * PIECE)

    def is_at(self, path: Path) -> bool:
        """Return whether the file at `path` has this content."""
        return path.is_file() and path.stat().st_size == self.size and self._matches(path)

    def _matches(self, path: Path) -> bool:
        with path.open("rb") as content:
            if self.sha256 is not None:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
            digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).digest()
            return base64.b64encode(digest).decode() == self.md5


@define
class Download:
    """One file on its way to `target` in `folder`: which of its pieces are there."""

    file: RemoteFile
    folder: Path
    target: Path
    missing: list[int] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def part(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def _pieces(self) -> Path:
        return self.target.with_name(f".{self.target.name}.pieces")

    def open(self) -> None:
        """Find out what is there of it, or begin.

        Raises:
            CommandError: if a link leads out of the folder.
        """
        for path in (self.target, self.part, self._pieces):
            check_inside(path, self.folder)
        count = -(-self.file.size // PIECE)
        head = {"size": self.file.size, "sha256": self.file.sha256, "md5": self.file.md5, "piece": PIECE}
        there: set[int] = set()
        with suppress(OSError, ValueError):
            first, *indexes = map(json.loads, self._pieces.read_text().splitlines())
            if first == head and self.part.stat().st_size == self.file.size:
                there = set(indexes)
        if not there:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with self.part.open("wb") as part:
                part.truncate(self.file.size)
            self._pieces.write_text(json.dumps(head) + "\n")
        self.missing = [index for index in range(count) if index not in there]

    def note(self, index: int) -> None:
        with self._lock, self._pieces.open("a") as pieces:
            pieces.write(f"{index}\n")

    def finish(self) -> None:
        """Compare the file with its hash, and give it its name.

        Raises:
            CommandError: where it is not what its manifest says. It is deleted then.
        """
        whole = self.file.is_at(self.part)
        self._pieces.unlink(missing_ok=True)
        if not whole:
            self.part.unlink()
            raise CommandError(
                f"{self.file.path} is not what its manifest says: its SHA-256 differs.", "Download it again."
            )
        os.replace(self.part, self.target)  # noqa: PTH105 - replaces on every system


@define
class Downloader:
    """Fetches the files of one listing into a folder."""

    files: Sequence[RemoteFile]
    folder: Path
    fetched: int = field(default=0, init=False)
    unchanged: int = field(default=0, init=False)
    _wire: StorageWire = field(factory=lambda: StorageWire(PARALLEL), init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)

    @classmethod
    def of(cls, listing: Json, folder: Path) -> "Downloader":
        """Take the files of all pages of `/api/models/{model}/{version}/files`.

        Raises:
            CommandError: if a file's name cannot be one in the folder.
        """
        for path in places(folder, (item["path"] for item in listing["items"])):
            check_inside(path, folder)
        return cls(
            [
                RemoteFile(path=one["path"], size=one["size"], sha256=one["sha256"], md5=one["md5"], url=one["url"])
                for one in listing["items"]
            ],
            folder,
        )

    def run(self, console: Console) -> "Downloader":
        """Fetch what is not there yet; return itself.

        Raises:
            CommandError: where a file cannot be had, or is not what it should be.
        """
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                bar = progress.add_task("download", total=sum(file.size for file in self.files))
                downloads = list(self._wanted(progress, bar))
                fetching = [[pool.submit(self._fetch, one, index) for index in one.missing] for one in downloads]
                for one, pieces in zip(downloads, fetching, strict=True):
                    for piece in pieces:
                        progress.advance(bar, piece.result())
                    one.finish()
                    self.fetched += 1
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._wire.close()
        return self

    def _wanted(self, progress: Progress, bar: TaskID) -> Iterator[Download]:
        """Yield what is not there, each with the pieces that it lacks."""
        for file in self.files:
            target = self.folder.joinpath(*file.path.split("/"))
            if file.is_at(target):
                self.unchanged += 1
                progress.advance(bar, file.size)
                continue
            one = Download(file, self.folder, target)
            one.open()
            progress.advance(bar, file.size - sum(file.length(index) for index in one.missing))
            yield one

    def _fetch(self, one: Download, index: int) -> int:
        """Fetch a piece; return its length."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._stream(one, index)
                break
            except HTTPError as error:  # the connection broke while the content came
                if attempt == _ATTEMPTS:
                    raise unreachable(one.file.path, one.file.url, error) from error
        one.note(index)
        return one.file.length(index)

    def _stream(self, one: Download, index: int) -> None:
        first = index * PIECE
        headers = {"Range": f"bytes={first}-{first + one.file.length(index) - 1}"}
        answer = self._wire.send(one.file.path, "GET", one.file.url, headers=headers, stream=True)
        try:
            with one.part.open("r+b") as part:
                part.seek(first)
                for chunk in answer.stream(_CHUNK):
                    part.write(chunk)
                    if self._stopped.is_set():
                        raise CommandError("The download was interrupted.")
        finally:
            answer.release_conn()
