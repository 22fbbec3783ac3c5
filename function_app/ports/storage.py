"""The port to storage: blobs with conditions, leases and server-side copies, and queues with delays.

`function_app.azure.storage` implements it; `tests/contract/test_storage.py` holds it, and the one in memory that unit
tests use, to what is written here. Every call may raise StorageUnavailable.
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
    """How far the server-side copy that made a blob is."""

    NONE = "none"
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


class Permission(enum.StrEnum):
    """What a link to a blob allows, in the letters of a shared access signature."""

    READ = "r"
    CREATE = "c"
    """Write it in one piece, where there is none."""
    WRITE = "w"
    """Write it, in blocks too, over whatever is there."""


@frozen(kw_only=True)
class BlobItem:
    """A blob as a listing tells of it. `size` in bytes, `md5` in Base64 or None, `etag` without quotes.

    An uncommitted blob is an upload in progress: blocks are there, and the list that makes them a file is not yet.
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
    """Blobs in the order of their names. `now` is the storage's clock when the listing began."""

    items: Sequence[BlobItem]
    now: datetime


@frozen(kw_only=True)
class Page:
    """Part of a listing. `token` reads on; None is the end. `now` is the storage's clock when the part was listed."""

    items: Sequence[BlobItem]
    token: str | None
    now: datetime


@frozen(kw_only=True)
class Folders:
    """Part of a listing of top-level folders, without their slashes."""

    names: Sequence[str]
    token: str | None


@frozen(kw_only=True)
class Blob:
    """A small blob, whole. `now` is the storage's clock when it was read."""

    data: bytes
    etag: str
    modified: datetime
    now: datetime


class Lease(Protocol):
    """An exclusive right to write a blob."""

    @property
    def id(self) -> str:
        """What a write under the lease shows."""

    def renew(self) -> None:
        """Hold on to it. Raise PreconditionFailed where it was lost."""


class Blobs(Protocol):
    """Blobs of one storage account."""

    def list(self, container: str, prefix: str, *, uncommitted: bool = False) -> Listing:
        """Return all blobs whose names start with `prefix`, with metadata and the state of copies."""

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        """Return up to `size` blobs, 5,000 at most."""

    def folders(self, container: str, *, size: int, token: str | None = None) -> Folders:
        """Return up to `size` top-level folders."""

    def read(self, container: str, name: str, *, limit: int | None = None) -> Blob:
        """Return a blob, or its first `limit` bytes. Raise BlobNotFound where there is none."""

    def read_from(self, container: str, name: str, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from `offset` on: none where the blob ends before, or where there is none."""

    def get(self, container: str, name: str) -> BlobItem | None:
        """Return a blob's properties, or None where there is none."""

    def append(self, container: str, name: str, data: bytes) -> None:
        """Add to the end of a blob that is only ever appended to, whole and between no others'; make it if need be."""

    def sign(self, container: str, name: str, *, permission: Permission, expires: datetime) -> str:
        """Return a URL with which anyone may do this one thing to this one blob until then. It is a secret."""

    def create(self, container: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> datetime:
        """Write a new blob; return the storage's clock. Raise PreconditionFailed where it exists already."""

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
        """Write a blob over the one with this ETag, or over any where it is None; return the new ETag.

        Raise PreconditionFailed where it changed, or is leased to someone else.
        """

    def delete(self, container: str, name: str, *, etag: str | None = None) -> bool:
        """Delete a blob, the one with this ETag where it is given; return whether there was one.

        Raise PreconditionFailed where it changed, or is leased.
        """

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        """Start copying (container, name) to (container, name) inside the account, and return how far that is.

        Raise PreconditionFailed where the source no longer has this ETag, BlobNotFound where it is gone.
        """

    def lease(self, container: str, name: str, seconds: int) -> AbstractContextManager[Lease]:
        """Hold a lease for as long as the context, renewed by its holder. Raise PreconditionFailed where it is held."""


class Queues(Protocol):
    """Queues of one storage account."""

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        """Put a message (JSON) on a queue, visible after `delay` seconds, kept until it is taken."""


MAX_LIST_PAGE = 5000
"""How many blobs storage lists in one request at most
(https://learn.microsoft.com/rest/api/storageservices/list-blobs)."""
SOURCE_ETAG = "kedja_source_etag"
"""Metadata of a copy: which state of its source it was made of."""


class Copied(NamedTuple):
    """What a listing says of a copy: what it was made of, its size in bytes, and how far it is.

    A model may have 200,000 files, and a `BlobItem` takes several times as much memory.
    """

    source_etag: str | None
    size: int
    status: CopyStatus

    @classmethod
    def of(cls, item: BlobItem) -> Self:
        return cls(item.metadata.get(SOURCE_ETAG), item.size, item.copy)


def ensure_copied(
    blobs: Blobs, source: tuple[str, str], target: tuple[str, str], *, etag: str, there: Copied | None
) -> CopyStatus:
    """Start a copy unless `there`, what the target's listing has of it, is one of this very source, whole or under way.

    Raises as `Blobs.copy`.
    """
    if there and there.source_etag == etag and there.status in (CopyStatus.PENDING, CopyStatus.SUCCESS):
        return there.status
    return blobs.copy(source, target, etag=etag, metadata={SOURCE_ETAG: etag})


def iter_pages(blobs: Blobs, container: str, prefix: str, *, size: int = 500) -> Iterator[Sequence[BlobItem]]:
    """Yield a long listing page by page, so that memory stays flat."""
    for page in iter_pages_items(blobs, container, prefix, size=size):
        yield page.items


def iter_pages_items(
    blobs: Blobs, container: str, prefix: str, *, size: int = MAX_LIST_PAGE, uncommitted: bool = False
) -> Iterator[Page]:
    """Yield a long listing in pages that tell the storage's clock; there is one at least."""
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
