"""Downloads a model version's files, in pieces and in parallel, and compares each with its SHA-256.

A file is written as `.<name>.part` and renamed once it is complete and its hash matches, so a file that has its final
name is complete. `.<name>.pieces` lists the pieces that were fetched, so that an interrupted download can continue.
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
from kedja_cli.files.download_path import check_inside, target_paths
from kedja_cli.files.storage_client import StorageClient, unreachable_error
from kedja_cli.json_text import Json

PIECE = 8 << 20
"""Bytes that one request fetches."""
PARALLEL = 16
"""Requests at the same time."""

_CHUNK = 256 << 10
_ATTEMPTS = 4


@frozen(kw_only=True)
class RemoteFile:
    """A file of a model version. `path` is relative, `size` in bytes; at least one of the hashes is known."""

    path: str
    size: int
    sha256: str | None
    md5: str | None
    url: str = field(repr=False)

    def piece_length(self, index: int) -> int:
        """Return the number of bytes of a piece."""
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
    """The download of one file to `target` in `folder`, and the pieces that are still `missing`."""

    file: RemoteFile
    folder: Path
    target: Path
    missing: list[int] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def part(self) -> Path:
        """The file that pieces are written to until the download is complete."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def _pieces(self) -> Path:
        return self.target.with_name(f".{self.target.name}.pieces")

    def prepare(self) -> None:
        """Continue an earlier download of the same file, or begin a new one.

        Raises:
            CommandError: If a link leads out of the folder.
        """
        for path in (self.target, self.part, self._pieces):
            check_inside(path, self.folder)
        count = -(-self.file.size // PIECE)
        head = {"size": self.file.size, "sha256": self.file.sha256, "md5": self.file.md5, "piece": PIECE}
        fetched: set[int] = set()
        with suppress(OSError, ValueError):
            first, *indexes = map(json.loads, self._pieces.read_text().splitlines())
            if first == head and self.part.stat().st_size == self.file.size:
                fetched = set(indexes)
        if not fetched:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with self.part.open("wb") as part:
                part.truncate(self.file.size)
            self._pieces.write_text(json.dumps(head) + "\n")
        self.missing = [index for index in range(count) if index not in fetched]

    def mark_fetched(self, index: int) -> None:
        """Record that a piece was fetched and written."""
        with self._lock, self._pieces.open("a") as pieces:
            pieces.write(f"{index}\n")

    def finish(self) -> None:
        """Compare the file with its hash, and rename it to its final name.

        Raises:
            CommandError: If the content is not what the manifest says. The file is deleted.
        """
        is_valid = self.file.is_at(self.part)
        self._pieces.unlink(missing_ok=True)
        if not is_valid:
            self.part.unlink()
            raise CommandError(
                f"{self.file.path} is not what its manifest says: the hash differs.", "Download it again."
            )
        os.replace(self.part, self.target)  # noqa: PTH105 - replaces on every system


@define
class Downloader:
    """Downloads the files of one listing into a folder."""

    files: Sequence[RemoteFile]
    folder: Path
    fetched: int = field(default=0, init=False)
    unchanged: int = field(default=0, init=False)
    _client: StorageClient = field(factory=lambda: StorageClient(PARALLEL), init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)

    @classmethod
    def from_listing(cls, listing: Json, folder: Path) -> "Downloader":
        """Return a downloader for the files of `/api/models/{model}/{version}/files`, all pages of them.

        Raises:
            CommandError: If a file cannot have its name in the folder.
        """
        for path in target_paths(folder, (item["path"] for item in listing["items"])):
            check_inside(path, folder)
        return cls(
            [
                RemoteFile(path=one["path"], size=one["size"], sha256=one["sha256"], md5=one["md5"], url=one["url"])
                for one in listing["items"]
            ],
            folder,
        )

    def run(self, console: Console) -> "Downloader":
        """Download the files that are not there yet, with a progress bar on a terminal; return this downloader.

        Raises:
            CommandError: If a file cannot be downloaded, or its content is not what the manifest says.
        """
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                bar = progress.add_task("download", total=sum(file.size for file in self.files))
                downloads = list(self._pending(progress, bar))
                fetching = [[pool.submit(self._fetch, one, index) for index in one.missing] for one in downloads]
                for one, pieces in zip(downloads, fetching, strict=True):
                    for piece in pieces:
                        progress.advance(bar, piece.result())
                    one.finish()
                    self.fetched += 1
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._client.close()
        return self

    def _pending(self, progress: Progress, bar: TaskID) -> Iterator[Download]:
        """Yield a download for each file that is missing or differs."""
        for file in self.files:
            target = self.folder.joinpath(*file.path.split("/"))
            if file.is_at(target):
                self.unchanged += 1
                progress.advance(bar, file.size)
                continue
            one = Download(file, self.folder, target)
            one.prepare()
            progress.advance(bar, file.size - sum(file.piece_length(index) for index in one.missing))
            yield one

    def _fetch(self, one: Download, index: int) -> int:
        """Fetch a piece; return its number of bytes."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._stream(one, index)
                break
            except HTTPError as error:  # the connection broke during the response
                if attempt == _ATTEMPTS:
                    raise unreachable_error(one.file.path, one.file.url, error) from error
        one.mark_fetched(index)
        return one.file.piece_length(index)

    def _stream(self, one: Download, index: int) -> None:
        first = index * PIECE
        headers = {"Range": f"bytes={first}-{first + one.file.piece_length(index) - 1}"}
        response = self._client.send(one.file.path, "GET", one.file.url, headers=headers, stream=True)
        try:
            with one.part.open("r+b") as part:
                part.seek(first)
                for chunk in response.stream(_CHUNK):
                    part.write(chunk)
                    if self._stopped.is_set():
                        raise CommandError("The download was interrupted.")
        finally:
            response.release_conn()
