"""Storage in memory, with a clock that tests move: the port of `function_app.ports.storage` without a socket.

`tests/contract/test_storage.py` holds it to the same sentences as the real client.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, evolve, field, frozen

from function_app.domain import naming
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.ports.storage import Blob, BlobItem, CopyStatus, Folders, Lease, Listing, Page, Permission
from tests.unit.memory_account import Account, Stored

LARGEST_MESSAGE = 48 * 1024
"""Bytes of a message whose Base64 fills the 64 KiB that a queue takes."""


@define
class VirtualClock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@frozen(kw_only=True)
class Call:
    """A call to storage that a test may count."""

    operation: str
    container: str
    name: str


# The port has a method called `list`, so these stand outside of its class.
Calls = list[Call]
Items = list[BlobItem]
Names = list[str]


@frozen
class MemoryLease:
    """A lease that lasts while its blob has its id and its time is not over."""

    blobs: "MemoryBlobs"
    place: tuple[str, str]
    seconds: int
    id: str

    def renew(self) -> None:
        with self.blobs.lock:
            stored = self.blobs.stored.get(self.place)
            if stored is None or stored.lease != self.id:
                raise PreconditionFailed(f"The lease on {self.place} is lost.")
            stored.leased_until = self.blobs.clock() + timedelta(seconds=self.seconds)


@define
class Leasing:
    """A lease held for as long as its context. No generator: one that a dead process left would let go of the lease."""

    blobs: "MemoryBlobs"
    place: tuple[str, str]
    seconds: int
    held: str = ""

    def __enter__(self) -> MemoryLease:
        self.held = self.blobs._lease(*self.place, self.seconds)
        return MemoryLease(self.blobs, self.place, self.seconds, self.held)

    def __exit__(self, *_: object) -> None:
        self.blobs._release(*self.place, self.held)


@define
class MemoryBlobs:
    """Blobs of an account. Its clock runs ahead of the host's by `skew`, and tells whole seconds, as HTTP does."""

    clock: VirtualClock
    skew: timedelta = timedelta()
    hold_copies: bool = False
    """Whether copies stay pending until `end_copies`."""
    missed_once: set[tuple[str, str]] = field(factory=set)
    """Blobs that it does not find the next time that one of these is read."""
    misses_in: int = 0
    """With 1, the next blob that is read is not found; with more, one after that."""
    misses: int = 0
    """How often it has not found a blob that is there."""
    stored: Account = field(factory=Account)
    containers: set[str] = field(factory=lambda: {*naming.CONTAINERS, "azureml"})
    calls: Calls = field(factory=Calls)
    lock: threading.RLock = field(factory=threading.RLock, repr=False)
    _last: int = 0
    """The last number that was part of an ETag or of a lease's id."""

    @property
    def now(self) -> datetime:
        return (self.clock() + self.skew).replace(microsecond=0)

    # What tests do, as users and other systems would.

    def upload(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        hashed: bool = True,
        committed: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> BlobItem:
        """Write a file: in one piece (`hashed`), in blocks, or in blocks that are no file yet (not `committed`)."""
        with self.lock:
            return self._write(container, name, data, metadata or {}, hashed=hashed, committed=committed)

    def copy_of_all(self, clock: VirtualClock) -> "MemoryBlobs":
        """Return an account with the same blobs in the same state, whose time is another clock's."""
        stored = Account()
        for place, one in self.stored.items():
            stored[place] = evolve(one)
        return evolve(
            self,
            clock=clock,
            stored=stored,
            missed_once={*self.missed_once},
            containers={*self.containers},
            calls=[],
            lock=threading.RLock(),
        )

    def names_in(self, container: str, prefix: str = "") -> Names:
        """Return the names of all blobs there."""
        return self.stored.names_in(container, prefix)

    def end_copies(self, status: CopyStatus = CopyStatus.SUCCESS) -> None:
        """Bring all pending copies to an end."""
        with self.lock:
            for stored in self.stored.values():
                if stored.item.copy is CopyStatus.PENDING:
                    stored.item = evolve(stored.item, copy=status, etag=self._etag())

    # The port.

    def list(self, container: str, prefix: str, *, uncommitted: bool = False) -> Listing:
        with self.lock:
            items = self._items("list", container, prefix, uncommitted=uncommitted)
            return Listing(items=items, now=self.now)

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        with self.lock:
            found = self._items("page", container, prefix, uncommitted=uncommitted)
            items = [item for item in found if token is None or item.name > token]
            end = items[size - 1].name if len(items) > size else None
            return Page(items=items[:size], token=end, now=self.now)

    def folders(self, container: str, *, size: int, token: str | None = None) -> Folders:
        with self.lock:
            items = self._items("folders", container, "")
            folders = sorted({item.name.partition("/")[0] for item in items if "/" in item.name})
            left = [folder for folder in folders if token is None or folder > token]
            return Folders(names=left[:size], token=left[size - 1] if len(left) > size else None)

    def read(self, container: str, name: str, *, limit: int | None = None) -> Blob:
        with self.lock:
            stored = self._existing("read", container, name)
            return Blob(data=stored.data[:limit], etag=stored.item.etag, modified=stored.item.modified, now=self.now)

    def read_from(self, container: str, name: str, offset: int, limit: int) -> bytes:
        with self.lock:
            try:
                return self._existing("read", container, name).data[offset : offset + limit]
            except BlobNotFound:
                return b""

    def append(self, container: str, name: str, data: bytes) -> None:
        with self.lock:
            self._called("append", container, name)
            there = self.stored.get((container, name))
            self._write(container, name, (there.data if there else b"") + data, {}, hashed=False)

    def sign(self, container: str, name: str, *, permission: Permission, expires: datetime) -> str:
        query = urlencode({"sp": permission.value, "se": expires.strftime("%Y-%m-%dT%H:%M:%SZ"), "sr": "b"})
        return f"https://kedja.blob.core.windows.net/{container}/{quote(name)}?{query}"

    def get(self, container: str, name: str) -> BlobItem | None:
        with self.lock:
            try:
                return self._existing("get", container, name).item
            except BlobNotFound:
                return None

    def create(self, container: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> datetime:
        with self.lock:
            self._called("create", container, name)
            stored = self.stored.get((container, name))
            if stored is not None and stored.item.committed:
                raise PreconditionFailed(f"{container}/{name} exists.")
            self._write(container, name, data, metadata or {})
            return self.now

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
        with self.lock:
            self._called("replace", container, name)
            self._check(container, name, etag, lease)
            return self._write(container, name, data, metadata or {}).etag

    def delete(self, container: str, name: str, *, etag: str | None = None) -> bool:
        with self.lock:
            self._called("delete", container, name)
            if (container, name) not in self.stored:
                return False
            self._check(container, name, etag, None)
            del self.stored[container, name]
            return True

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        with self.lock:
            original = self._existing("copy", *source)
            if original.item.etag != etag:
                raise PreconditionFailed(f"{source} changed.")
            self._check(*target, None, None)
            there = self.stored.get(target)
            if there is not None and there.item.copy is CopyStatus.PENDING:
                raise PreconditionFailed(f"{target} is being copied to.")
            self._write(*target, original.data, metadata or {})
            status = CopyStatus.PENDING if self.hold_copies else CopyStatus.SUCCESS
            copied = self.stored[target]
            copied.item = evolve(copied.item, md5=original.item.md5, copy=status)
            return status

    def lease(self, container: str, name: str, seconds: int) -> "Leasing":
        return Leasing(self, (container, name), seconds)

    def _lease(self, container: str, name: str, seconds: int) -> str:
        with self.lock:
            stored = self._existing("lease", container, name)
            if self._is_leased(stored):
                raise PreconditionFailed(f"{container}/{name} is leased.")
            stored.lease = f"lease-{self._number()}"
            stored.leased_until = self.clock() + timedelta(seconds=seconds)
            return stored.lease

    def _release(self, container: str, name: str, lease: str) -> None:
        with self.lock:
            self._called("release", container, name)
            stored = self.stored.get((container, name))
            if stored is not None and stored.lease == lease:
                stored.lease = None

    def _is_leased(self, stored: Stored) -> bool:
        return stored.lease is not None and stored.leased_until > self.clock()

    def _check(self, container: str, name: str, etag: str | None, lease: Lease | None) -> None:
        stored = self.stored.get((container, name))
        if etag is not None and (stored is None or stored.item.etag != etag):
            raise PreconditionFailed(f"{container}/{name} changed.")
        held = stored.lease if stored is not None and self._is_leased(stored) else None
        if held != (lease.id if lease else None):
            raise PreconditionFailed(f"{container}/{name}: the lease is {held}, and the write shows {lease}.")

    def _called(self, operation: str, container: str, name: str) -> None:
        if container not in self.containers:
            raise BlobNotFound(f"There is no container {container}.")
        self.calls.append(Call(operation=operation, container=container, name=name))

    def _items(self, operation: str, container: str, prefix: str, *, uncommitted: bool = False) -> Items:
        self._called(operation, container, prefix)
        found = (self.stored[container, name].item for name in self.names_in(container, prefix))
        return [item for item in found if item.committed or uncommitted]

    def _existing(self, operation: str, container: str, name: str) -> Stored:
        self._called(operation, container, name)
        stored = self.stored.get((container, name))
        is_missed = (container, name) in self.missed_once or self.misses_in == 1
        self.misses_in = max(0, self.misses_in - 1)
        self.missed_once.discard((container, name))
        self.misses += is_missed
        if is_missed or stored is None or not stored.item.committed:
            raise BlobNotFound(f"There is no {container}/{name}.")
        return stored

    def _write(
        self,
        container: str,
        name: str,
        data: bytes,
        metadata: Mapping[str, str],
        *,
        hashed: bool = True,
        committed: bool = True,
    ) -> BlobItem:
        for text in (*metadata.keys(), *metadata.values()):
            text.encode("ascii")  # they are headers
        before = self.stored.get((container, name))
        item = BlobItem(
            name=name,
            size=len(data) if committed else 0,
            etag=self._etag(),
            modified=self.now,
            md5=base64.b64encode(hashlib.md5(data).digest()).decode() if hashed and committed else None,  # noqa: S324
            metadata=dict(metadata),
            committed=committed,
        )
        stored = Stored(item, data if committed else b"")
        if before is not None and self._is_leased(before):
            stored.lease, stored.leased_until = before.lease, before.leased_until
        self.stored[container, name] = stored
        return item

    def _etag(self) -> str:
        return f"0x{self._number():X}"

    def _number(self) -> int:
        self._last += 1
        return self._last


@define(eq=False)
class Message:
    """A message on a queue. `deliveries` counts how often it was taken."""

    id: str
    queue: str
    body: bytes
    visible: datetime
    deliveries: int = 0


@define
class MemoryQueues:
    """Queues of an account."""

    clock: Callable[[], datetime]
    messages: list[Message] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock, repr=False)
    _last: int = 0
    """The number of the last message."""

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        body = json.dumps(message, allow_nan=False).encode()
        assert len(body) <= LARGEST_MESSAGE, f"The queue {queue} takes no message of {len(body)} bytes."
        self.put(queue, body, delay=delay)

    def put(self, queue: str, body: bytes, *, delay: float = 0) -> Message:
        """Put bytes on a queue, as other systems do."""
        visible = self.clock() + timedelta(seconds=delay)
        with self.lock:
            self._last += 1
            message = Message(id=f"message-{self._last}", queue=queue, body=body, visible=visible)
            self.messages.append(message)
        return message

    def copy_of_all(self, clock: VirtualClock) -> "MemoryQueues":
        """Return queues with the same messages, whose time is another clock's."""
        return evolve(self, clock=clock, messages=[evolve(one) for one in self.messages], lock=threading.Lock())

    def of(self, queue: str) -> list[Message]:
        return [message for message in self.messages if message.queue == queue]
