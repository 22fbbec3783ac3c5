"""The uploader: many files at once, large ones in blocks, each with the MD5 of its content."""

import base64
import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import batched
from typing import IO, BinaryIO, cast
from urllib.parse import quote

import urllib3
from attrs import Factory, define, field, frozen

from kedja_cli.errors import CommandError
from kedja_cli.files.grants import Door, Grant
from kedja_cli.files.local_file import LocalFile
from kedja_cli.files.storage_client import StorageRefusal, StorageWire
from kedja_cli.files.upload_checkpoint import UploadMemory

BLOCK = 8 << 20
"""Bytes of a block. A file of at most this size is sent in one piece."""
PARALLEL = 32
"""Files under way at once."""
PARALLEL_BLOCKS = 8
"""Of them those above 1 MiB, and blocks of large ones: what memory they take does not grow with the files."""

_MOST_BLOCKS = 50_000  # of a block blob
_BATCH = 250
_SMALL = 1 << 20
_LIST = "&comp=blocklist"
_PUT_BLOB_ALONE = ("x-ms-blob-type", "Content-MD5", "x-ms-blob-content-md5")


class Watcher:
    """Is told how it goes, from several threads. This one does nothing."""

    def begins(self, file: LocalFile) -> None:
        """A file's first byte is about to go."""

    def moves(self, file: LocalFile, size: int) -> None:
        """So many more bytes of a file are there."""

    def ends(self, file: LocalFile, *, sent: bool) -> None:
        """A file is done with; `sent` is False where it was there before, or has failed."""


@define
class Outcome:
    """What became of the files.

    `newest` is when storage took the last of them, by its own clock; those that were there before count too.
    """

    sent: list[LocalFile] = field(factory=list)
    skipped: list[LocalFile] = field(factory=list)
    failed: list[tuple[LocalFile, CommandError]] = field(factory=list)
    newest: datetime | None = None

    @property
    def bytes_sent(self) -> int:
        return sum(file.size for file in self.sent)

    def took(self, answer: urllib3.BaseHTTPResponse) -> None:
        modified = answer.headers.get("Last-Modified")
        self.saw(parsedate_to_datetime(modified) if modified else None)

    def saw(self, at: datetime | None) -> None:
        if at and (self.newest is None or at > self.newest):
            self.newest = at


@frozen
class _Work:
    file: LocalFile
    md5: str | None
    grant: Grant


@define
class Uploader:
    """Writes files through grants of a door. Each of `block`'s bytes is sent once, even after a break."""

    door: Door
    watcher: Watcher = Factory(Watcher)
    block: int = BLOCK
    outcome: Outcome = field(factory=Outcome, init=False)
    _wire: StorageWire = field(factory=lambda: StorageWire(PARALLEL + PARALLEL_BLOCKS), init=False)
    _blocks: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(PARALLEL_BLOCKS), init=False)
    _slots: threading.Semaphore = field(factory=lambda: threading.Semaphore(PARALLEL_BLOCKS), init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def run(self, *stages: Sequence[LocalFile]) -> Outcome:
        """Send every file. One that fails does not keep the others of its stage from going; a later stage waits.

        Raises:
            CommandError: where no grants can be had.
        """
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            for files in stages:
                if not self.outcome.failed:
                    self._run(files, pool)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._blocks.shutdown(cancel_futures=True)
            self._wire.close()
        return self.outcome

    def _run(self, files: Sequence[LocalFile], pool: ThreadPoolExecutor) -> None:
        under_way: list[Future[None]] = []
        room = threading.Semaphore(2 * _BATCH)  # so that few grants wait, and age
        for batch in batched(files, _BATCH, strict=False):
            for work in self._granted(batch):
                room.acquire()
                under_way.append(one := pool.submit(self._take, work))
                one.add_done_callback(lambda _: room.release())
        _check(wait(under_way).done)

    def _granted(self, files: Sequence[LocalFile]) -> list[_Work]:
        """Ask for grants. Small files are hashed before; a large one only if there is something that it may equal."""
        known = [(file, file.md5() if self.door.takes_md5 and file.size <= self.block else None) for file in files]
        return [_Work(file, md5, grant) for (file, md5), grant in zip(known, self.door.grants(known), strict=True)]

    def _take(self, work: _Work) -> None:
        sent = False
        self.watcher.begins(work.file)
        try:
            sent = self._send(work)
        except CommandError as error:
            self.outcome.failed.append((work.file, error))
        except OSError as error:
            unreadable = CommandError(f"{work.file.path} cannot be read: {error.strerror}.")
            self.outcome.failed.append((work.file, unreadable))
        else:
            (self.outcome.sent if sent else self.outcome.skipped).append(work.file)
        self.watcher.ends(work.file, sent=sent)

    def _send(self, work: _Work) -> bool:
        """Bring a file to storage; return False where it is there already."""
        try:
            return self._send_granted(work)
        except StorageRefusal as refusal:
            if refusal.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT):
                raise
        # A grant lasts an hour; and one that only creates is refused where the answer to a first try was lost.
        md5 = work.md5 or work.file.md5()
        return self._send_granted(_Work(work.file, md5, self.door.grants([(work.file, md5)])[0]))

    def _send_granted(self, work: _Work) -> bool:
        file, grant, md5 = work.file, work.grant, work.md5
        if md5 is None and grant.there_size == file.size:
            md5 = file.md5()
        if grant.url is None or grant.has(file, md5):
            with self._lock:
                self.outcome.saw(grant.there_modified)
            return False
        if file.size <= self.block:
            with self._slots if file.size > _SMALL else nullcontext():
                content = file.path.read_bytes()
                self._put(work, "", content, _whole(_digest(content)))
            self.watcher.moves(file, file.size)
        elif grant.blocks:
            self._send_blocks(work, grant.url.partition("?")[0])
        else:
            with file.path.open("rb") as stream:
                followed = cast("IO[bytes]", _Followed(stream, file, self.watcher))
                self._put(work, "", followed, {**_whole(md5 or file.md5()), "Content-Length": str(file.size)})
        file.check_unchanged()
        return True

    def _send_blocks(self, work: _Work, address: str) -> None:
        """Send a large file in blocks, but those that storage has already, then their list."""
        size = max(self.block, -(-work.file.size // _MOST_BLOCKS))
        memory = UploadMemory.open(work.file, address, size)
        try:
            self._commit(work, memory, self._read_and_send(work, memory))
        except StorageRefusal as refusal:
            if refusal.reason != "InvalidBlockList":
                raise
            # Storage drops blocks after a week, and when someone else writes the blob.
            memory.forget()
            memory = UploadMemory.open(work.file, address, size)
            self._commit(work, memory, self._read_and_send(work, memory))
        memory.forget()

    def _read_and_send(self, work: _Work, memory: UploadMemory) -> str:
        """Send the blocks that are missing; return the MD5 of the whole file, which is read once."""
        whole = hashlib.md5(usedforsecurity=False)
        sending: list[Future[None]] = []
        with work.file.path.open("rb") as file:
            for index in range(_count(work, memory)):
                content = self._next(file, memory, sending)
                whole.update(content)
                if index in memory.sent:
                    self._slots.release()
                    self.watcher.moves(work.file, len(content))
                else:
                    sending.append(self._blocks.submit(self._send_block, work, memory, index, content))
        _check(wait(sending).done)
        return base64.b64encode(whole.digest()).decode()

    def _next(self, file: BinaryIO, memory: UploadMemory, sending: Sequence[Future[None]]) -> bytes:
        """Return the next block once there is room for it, unless an earlier one has failed or all is to stop."""
        if self._stopped.is_set():
            raise CommandError("The upload was interrupted.")
        self._slots.acquire()
        try:
            _check(one for one in sending[-2 * PARALLEL_BLOCKS :] if one.done())
            return file.read(memory.block)
        except BaseException:
            self._slots.release()
            raise

    def _send_block(self, work: _Work, memory: UploadMemory, index: int, content: bytes) -> None:
        try:
            query = f"&comp=block&blockid={quote(_encoded(memory.block_id(index)), safe='')}"
            self._put(work, query, content, {"Content-MD5": _digest(content)})
            with self._lock:
                memory.note(index)
            self.watcher.moves(work.file, len(content))
        finally:
            self._slots.release()

    def _commit(self, work: _Work, memory: UploadMemory, md5: str) -> None:
        work.file.check_unchanged()
        ids = "".join(f"<Latest>{_encoded(memory.block_id(index))}</Latest>" for index in range(_count(work, memory)))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{ids}</BlockList>'.encode()
        self._put(work, _LIST, body, {"x-ms-blob-content-md5": md5})

    def _put(self, work: _Work, query: str, body: bytes | IO[bytes], headers: dict[str, str]) -> None:
        """Send one request. `query` tells which part of a blob it is."""
        granted = work.grant.headers if not query else {}
        if query == _LIST:
            granted = {name: value for name, value in work.grant.headers.items() if name not in _PUT_BLOB_ALONE}
        url = f"{work.grant.url}{query}"
        answer = self._wire.send(work.file.name, "PUT", url, body=body, headers={**granted, **headers})
        with self._lock:
            self.outcome.took(answer)


@frozen
class _Followed:
    """A file whose reading is told to a watcher. urllib3 rewinds it to send it again."""

    stream: BinaryIO
    file: LocalFile
    watcher: Watcher

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.watcher.moves(self.file, len(content))
        return content

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int) -> int:
        self.watcher.moves(self.file, position - self.stream.tell())
        return self.stream.seek(position)


def _check(done: Iterable[Future[None]]) -> None:
    """Raise what one of them has raised."""
    for one in done:
        one.result()


def _count(work: _Work, memory: UploadMemory) -> int:
    """Return how many blocks a file has."""
    return -(-work.file.size // memory.block)


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _whole(md5: str) -> dict[str, str]:
    """Return the headers of Put Blob: storage compares the content with its MD5, and keeps that."""
    return {"x-ms-blob-type": "BlockBlob", "Content-MD5": md5}


def _encoded(block_id: str) -> str:
    return base64.b64encode(block_id.encode()).decode()
