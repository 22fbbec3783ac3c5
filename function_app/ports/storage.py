"""The port to storage: blobs with conditions, leases and server-side copies, and queues with delays.

`function_app.azure.storage` implements it. `tests/contract/test_storage.py` tests that implementation, and the one in
memory that unit tests use, against this contract. Every call may raise StorageUnavailable.
"""

import contextlib
import enum
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from attrs import frozen

from function_app.errors import BlobNotFound


class CopyStatus(enum.StrEnum):
    """The state of the server-side copy that created a blob."""

    NONE = "none"
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


class Permission(enum.StrEnum):
    """What a signed URL of a blob allows, as letters of a shared access signature."""

    READ = "r"
    CREATE = "c"
    """Write a new blob in one request."""
    WRITE = "w"
    """Write or overwrite the blob, also in blocks."""


@frozen(kw_only=True)
class BlobItem:
    """A blob in a listing. `size` in bytes, `md5` in Base64 or None, `etag` without quotes.

    An uncommitted blob is an upload in progress: it has blocks, but no block list has been committed yet.
    """

    name: str
    size: int
    etag: str
    modified: datetime
    md5: str | None = None
    metadata: Mapping[str, str] = {}
    committed: bool = True
    copy: CopyStatus = CopyStatus.NONE


@frozen(kw_only=True)
class Listing:
    """Blobs in the order of their names. `now` is the storage's time when the listing began."""

    items: Sequence[BlobItem]
    now: datetime


@frozen(kw_only=True)
class Page:
    """Part of a listing. `token` continues it; None is the end. `now` is the storage's time of this request."""

    items: Sequence[BlobItem]
    token: str | None
    now: datetime


@frozen(kw_only=True)
class Folders:
    """Part of a listing of top-level folders, without their slashes. `token` continues it; None is the end."""

    names: Sequence[str]
    token: str | None


@frozen(kw_only=True)
class Blob:
    """A small blob with its content. `now` is the storage's time when it was read."""

    data: bytes
    etag: str
    modified: datetime
    now: datetime


class Lease(Protocol):
    """An exclusive right to write a blob."""

    @property
    def id(self) -> str:
        """The lease id, which a write under the lease must send."""

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            PreconditionFailed: the lease was lost.
        """


class Blobs(Protocol):
    """Blobs of one storage account."""

    def list(self, container: str, prefix: str, *, uncommitted: bool = False) -> Listing:
        """Return all blobs whose names start with `prefix`, with their metadata and copy status."""

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        """Return up to `size` blobs, at most 5,000."""

    def folders(self, container: str, *, size: int, token: str | None = None) -> Folders:
        """Return up to `size` top-level folders."""

    def read(self, container: str, name: str, *, limit: int | None = None) -> Blob:
        """Return a blob, or its first `limit` bytes.

        Raises:
            BlobNotFound: there is no such blob.
        """

    def read_from(self, container: str, name: str, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from `offset`; no bytes if the blob ends before that or does not exist."""

    def get(self, container: str, name: str) -> BlobItem | None:
        """Return a blob's properties, or None if there is no such blob."""

    def append(self, container: str, name: str, data: bytes) -> None:
        """Append to an append blob, atomically; create the blob if necessary."""

    def sign(self, container: str, name: str, *, permission: Permission, expires: datetime) -> str:
        """Return a URL that grants one permission on one blob until it expires. The URL is a secret."""

    def create(self, container: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> datetime:
        """Write a new blob; return the storage's time.

        Raises:
            PreconditionFailed: the blob exists already.
        """

    def replace(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> str:
        """Overwrite the blob if it has this ETag, or unconditionally if `etag` is None; return the new ETag.

        Raises:
            PreconditionFailed: the blob changed, or is leased by another client.
        """

    def delete(self, container: str, name: str, *, etag: str | None = None) -> bool:
        """Delete the blob, only with this ETag if one is given; return whether it existed.

        Raises:
            PreconditionFailed: the blob changed, or is leased.
        """

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        """Start a copy from (container, name) to (container, name) within the account; return its status.

        Raises:
            PreconditionFailed: the source no longer has this ETag.
            BlobNotFound: there is no source.
        """

    def lease(self, container: str, name: str, seconds: int) -> AbstractContextManager[Lease]:
        """Hold a lease while the context is open; its holder renews it.

        Raises:
            PreconditionFailed: another client holds a lease.
        """


class Queues(Protocol):
    """Queues of one storage account."""

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        """Put a JSON message on a queue, visible after `delay` seconds. It never expires."""


MAX_LIST_PAGE = 5000
"""Max blobs that storage lists in one request
(https://learn.microsoft.com/rest/api/storageservices/list-blobs)."""
SOURCE_ETAG = "kedja_source_etag"
"""Metadata key on a copy: the ETag of its source."""


class Copied(NamedTuple):
    """A copy in a listing: the ETag of its source, its size in bytes, and its status.

    A model may have 200,000 files, and a `BlobItem` takes several times as much memory.
    """

    source_etag: str | None
    size: int
    status: CopyStatus

    @classmethod
    def of(cls, item: BlobItem) -> Self:
        """Return the listed blob as a copy."""
        return cls(item.metadata.get(SOURCE_ETAG), item.size, item.copy)


def ensure_copied(
    blobs: Blobs, source: tuple[str, str], target: tuple[str, str], *, etag: str, there: Copied | None
) -> CopyStatus:
    """Start a copy, unless `there`, the listed target, is a complete or pending copy of this source and ETag.

    Raises:
        PreconditionFailed: the source no longer has this ETag.
        BlobNotFound: there is no source.
    """
    if there and there.source_etag == etag and there.status in (CopyStatus.PENDING, CopyStatus.SUCCESS):
        return there.status
    return blobs.copy(source, target, etag=etag, metadata={SOURCE_ETAG: etag})


def iter_items(blobs: Blobs, container: str, prefix: str, *, size: int = 500) -> Iterator[BlobItem]:
    """Yield the blobs of a long listing, read in pages of this size to limit memory."""
    for page in iter_pages(blobs, container, prefix, size=size):
        yield from page.items


def iter_pages(
    blobs: Blobs, container: str, prefix: str, *, size: int = MAX_LIST_PAGE, uncommitted: bool = False
) -> Iterator[Page]:
    """Yield a long listing as pages, which include the storage's time; there is at least one page."""
    token: str | None = None
    while True:
        page = blobs.page(container, prefix, size=size, token=token, uncommitted=uncommitted)
        yield page
        token = page.token
        if token is None:
            return


def read_if_there(blobs: Blobs, container: str, name: str, *, limit: int | None = None) -> Blob | None:
    """Return a blob, or its first `limit` bytes; None only if it was not found twice.

    A single answer "not found" decides nothing: storage may give it for a blob that is there.
    """
    for _ in range(2):
        with contextlib.suppress(BlobNotFound):
            return blobs.read(container, name, limit=limit)
    return None


def get_if_there(blobs: Blobs, container: str, name: str) -> BlobItem | None:
    """Return a blob's properties; None only if it was not found twice, as for `read_if_there`."""
    return blobs.get(container, name) or blobs.get(container, name)
