"""Uploads many files in parallel, large ones in blocks, each with the MD5 of its content."""

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
from kedja_cli.files.grants import UploadAuthorizer, UploadGrant
from kedja_cli.files.local_file import LocalFile
from kedja_cli.files.storage_client import StorageClient, StorageRequestFailed
from kedja_cli.files.upload_checkpoint import UploadCheckpoint

BLOCK = 8 << 20
"""Bytes of a block. A file of at most this size is sent in one request."""
PARALLEL = 32
"""Files that are sent at the same time."""
PARALLEL_BLOCKS = 8
"""Files above 1 MiB, or blocks of large files, that are in memory at the same time."""

_MAX_BLOCKS = 50_000  # of a block blob
_BATCH = 250
_SMALL = 1 << 20
_BLOCK_LIST = "&comp=blocklist"
_PUT_BLOB_ONLY = ("x-ms-blob-type", "Content-MD5", "x-ms-blob-content-md5")


class UploadListener:
    """Receives the progress of an upload, from several threads. This one ignores it."""

    def on_start(self, file: LocalFile) -> None:
        """The upload of a file begins."""

    def on_progress(self, file: LocalFile, size: int) -> None:
        """`size` more bytes of a file were sent."""

    def on_end(self, file: LocalFile, *, sent: bool) -> None:
        """The upload of a file ended; `sent` is False if storage had the file already, or the upload failed."""


@define
class UploadOutcome:
    """What was sent, what storage had already, and what failed.

    `newest` is when the newest of the files was written, by storage's clock. Files that storage had already count too.
    """

    sent: list[LocalFile] = field(factory=list)
    skipped: list[LocalFile] = field(factory=list)
    failed: list[tuple[LocalFile, CommandError]] = field(factory=list)
    newest: datetime | None = None

    @property
    def bytes_sent(self) -> int:
        """The size of all files that were sent."""
        return sum(file.size for file in self.sent)

    def note_response(self, response: urllib3.BaseHTTPResponse) -> None:
        """Note when a blob was written, from the response to the write."""
        modified = response.headers.get("Last-Modified")
        self.note_time(parsedate_to_datetime(modified) if modified else None)

    def note_time(self, at: datetime | None) -> None:
        """Note when a blob was written."""
        if at and (self.newest is None or at > self.newest):
            self.newest = at


@frozen
class _Upload:
    file: LocalFile
    md5: str | None
    grant: UploadGrant


@define
class Uploader:
    """Writes files to the addresses that `authorizer` grants, large ones in blocks of `block` bytes."""

    authorizer: UploadAuthorizer
    listener: UploadListener = Factory(UploadListener)
    block: int = BLOCK
    outcome: UploadOutcome = field(factory=UploadOutcome, init=False)
    _client: StorageClient = field(factory=lambda: StorageClient(PARALLEL + PARALLEL_BLOCKS), init=False)
    _blocks: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(PARALLEL_BLOCKS), init=False)
    _slots: threading.Semaphore = field(factory=lambda: threading.Semaphore(PARALLEL_BLOCKS), init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def run(self, *stages: Sequence[LocalFile]) -> UploadOutcome:
        """Send every file, stage by stage. If a file fails, the rest of its stage is sent, and no later stage.

        Raises:
            CommandError: If uploads are not granted.
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
            self._client.close()
        return self.outcome

    def _run(self, files: Sequence[LocalFile], pool: ThreadPoolExecutor) -> None:
        pending: list[Future[None]] = []
        room = threading.Semaphore(2 * _BATCH)  # so that few grants wait, as they expire
        for batch in batched(files, _BATCH, strict=False):
            for upload in self._authorize(batch):
                room.acquire()
                pending.append(one := pool.submit(self._upload, upload))
                one.add_done_callback(lambda _: room.release())
        _raise_errors(wait(pending).done)

    def _authorize(self, files: Sequence[LocalFile]) -> list[_Upload]:
        """Get grants. Small files are hashed first; large ones later, if storage has a blob of that name and size."""
        known = [(file, file.md5() if self.authorizer.uses_md5 and file.size <= self.block else None) for file in files]
        return [
            _Upload(file, md5, grant) for (file, md5), grant in zip(known, self.authorizer.grants(known), strict=True)
        ]

    def _upload(self, upload: _Upload) -> None:
        sent = False
        self.listener.on_start(upload.file)
        try:
            sent = self._send(upload)
        except CommandError as error:
            self.outcome.failed.append((upload.file, error))
        except OSError as error:
            unreadable = CommandError(f"{upload.file.path} cannot be read: {error.strerror}.")
            self.outcome.failed.append((upload.file, unreadable))
        else:
            (self.outcome.sent if sent else self.outcome.skipped).append(upload.file)
        self.listener.on_end(upload.file, sent=sent)

    def _send(self, upload: _Upload) -> bool:
        """Send a file; return False if storage has it already."""
        try:
            return self._send_with_grant(upload)
        except StorageRequestFailed as refusal:
            if refusal.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT):
                raise
        # The grant has expired after an hour; or it only creates blobs, and the response to the first try was lost.
        md5 = upload.md5 or upload.file.md5()
        return self._send_with_grant(_Upload(upload.file, md5, self.authorizer.grants([(upload.file, md5)])[0]))

    def _send_with_grant(self, upload: _Upload) -> bool:
        file, grant, md5 = upload.file, upload.grant, upload.md5
        if md5 is None and grant.existing_size == file.size:
            md5 = file.md5()
        if grant.url is None or grant.has(file, md5):
            with self._lock:
                self.outcome.note_time(grant.existing_modified)
            return False
        if file.size <= self.block:
            with self._slots if file.size > _SMALL else nullcontext():
                content = file.path.read_bytes()
                self._put(upload, "", content, _put_blob_headers(_md5(content)))
            self.listener.on_progress(file, file.size)
        elif grant.blocks:
            self._send_blocks(upload, grant.url.partition("?")[0])
        else:
            with file.path.open("rb") as stream:
                observed = cast("IO[bytes]", _ObservedFile(stream, file, self.listener))
                self._put(
                    upload, "", observed, {**_put_blob_headers(md5 or file.md5()), "Content-Length": str(file.size)}
                )
        file.check_unchanged()
        return True

    def _send_blocks(self, upload: _Upload, address: str) -> None:
        """Send the blocks of a large file that storage does not have yet, then the block list."""
        size = max(self.block, -(-upload.file.size // _MAX_BLOCKS))
        checkpoint = UploadCheckpoint.open(upload.file, address, size)
        try:
            self._commit(upload, checkpoint, self._read_and_send(upload, checkpoint))
        except StorageRequestFailed as refusal:
            if refusal.reason != "InvalidBlockList":
                raise
            # Storage deletes uncommitted blocks after a week, and when someone else writes the blob.
            checkpoint.delete()
            checkpoint = UploadCheckpoint.open(upload.file, address, size)
            self._commit(upload, checkpoint, self._read_and_send(upload, checkpoint))
        checkpoint.delete()

    def _read_and_send(self, upload: _Upload, checkpoint: UploadCheckpoint) -> str:
        """Send the missing blocks; return the MD5 of the whole file, which is read once."""
        whole = hashlib.md5(usedforsecurity=False)
        sending: list[Future[None]] = []
        with upload.file.path.open("rb") as file:
            for index in range(_block_count(upload, checkpoint)):
                content = self._read_block(file, checkpoint, sending)
                whole.update(content)
                if index in checkpoint.sent:
                    self._slots.release()
                    self.listener.on_progress(upload.file, len(content))
                else:
                    sending.append(self._blocks.submit(self._send_block, upload, checkpoint, index, content))
        _raise_errors(wait(sending).done)
        return base64.b64encode(whole.digest()).decode()

    def _read_block(self, file: BinaryIO, checkpoint: UploadCheckpoint, sending: Sequence[Future[None]]) -> bytes:
        """Return the next block once there is memory for it. Raise if an earlier block failed or the upload stops."""
        if self._stopped.is_set():
            raise CommandError("The upload was interrupted.")
        self._slots.acquire()
        try:
            _raise_errors(one for one in sending[-2 * PARALLEL_BLOCKS :] if one.done())
            return file.read(checkpoint.block)
        except BaseException:
            self._slots.release()
            raise

    def _send_block(self, upload: _Upload, checkpoint: UploadCheckpoint, index: int, content: bytes) -> None:
        try:
            query = f"&comp=block&blockid={quote(_base64(checkpoint.block_id(index)), safe='')}"
            self._put(upload, query, content, {"Content-MD5": _md5(content)})
            with self._lock:
                checkpoint.mark_sent(index)
            self.listener.on_progress(upload.file, len(content))
        finally:
            self._slots.release()

    def _commit(self, upload: _Upload, checkpoint: UploadCheckpoint, md5: str) -> None:
        upload.file.check_unchanged()
        ids = "".join(
            f"<Latest>{_base64(checkpoint.block_id(index))}</Latest>"
            for index in range(_block_count(upload, checkpoint))
        )
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{ids}</BlockList>'.encode()
        self._put(upload, _BLOCK_LIST, body, {"x-ms-blob-content-md5": md5})

    def _put(self, upload: _Upload, query: str, body: bytes | IO[bytes], headers: dict[str, str]) -> None:
        """Send one request. `query` is the part of the query that names a block or the block list, if any."""
        granted = upload.grant.headers if not query else {}
        if query == _BLOCK_LIST:
            granted = {name: value for name, value in upload.grant.headers.items() if name not in _PUT_BLOB_ONLY}
        url = f"{upload.grant.url}{query}"
        response = self._client.send(upload.file.name, "PUT", url, body=body, headers={**granted, **headers})
        with self._lock:
            self.outcome.note_response(response)


@frozen
class _ObservedFile:
    """A file that reports to a listener what was read. urllib3 rewinds it to send it again."""

    stream: BinaryIO
    file: LocalFile
    listener: UploadListener

    def read(self, size: int = -1) -> bytes:
        """Read, and report the bytes as progress."""
        content = self.stream.read(size)
        self.listener.on_progress(self.file, len(content))
        return content

    def tell(self) -> int:
        """Return the position."""
        return self.stream.tell()

    def seek(self, position: int) -> int:
        """Change the position, and take the progress back."""
        self.listener.on_progress(self.file, position - self.stream.tell())
        return self.stream.seek(position)


def _raise_errors(done: Iterable[Future[None]]) -> None:
    """Raise the exception of the first future that has one."""
    for one in done:
        one.result()


def _block_count(upload: _Upload, checkpoint: UploadCheckpoint) -> int:
    """Return the number of blocks of a file."""
    return -(-upload.file.size // checkpoint.block)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _put_blob_headers(md5: str) -> dict[str, str]:
    """Return the headers of Put Blob; storage compares the content with its MD5, and keeps the MD5."""
    return {"x-ms-blob-type": "BlockBlob", "Content-MD5": md5}


def _base64(block_id: str) -> str:
    return base64.b64encode(block_id.encode()).decode()
