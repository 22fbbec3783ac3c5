"""The journal: changes of receipts and published events, in order.

`receipts/.journal/<inverted time>` is an append blob of JSON lines for ten minutes. It costs one more call for each
change, and one call to read what is new, regardless of the number of receipts and readers.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self

from attrs import evolve, frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.errors import Invalid, StorageError
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, iter_pages

logger = logging.getLogger(__name__)

FOLDER = ".journal/"
BUCKET_SECONDS = 600
"""Seconds that a blob covers. A blob can hold 50,000 appended blocks
(https://learn.microsoft.com/rest/api/storageservices/append-block)."""
CLOCK_SKEW = 120
"""Seconds after a blob's time in which a host with a slow clock may still write to it."""
CURSOR_TTL = 86_400
"""Cursor lifetime in seconds. After that, readers have to list receipts again."""
MOST_READ = 1 << 22
"""Max bytes of one call to storage when reading forward. Reading back, the max is a sixteenth of that."""
_MOST_PIECES = 20
"""Max pieces to read back for one page. A page that ends there may have few entries."""
_LAST = 9_999_999
_CURSOR = re.compile(r"(\d{7})\.(\d{1,12})\.(\d{1,12})")
_POSITION = re.compile(r"(\d{7})\.(\d{1,12})")


class InvalidCursor(Invalid):
    """The cursor or position is not from an earlier answer."""


class Entry(Document):
    """A line of the journal: the listing metadata of a changed receipt, or a published event."""

    kind: Literal["drop", "event"]
    experiment: str
    data: dict[str, Any]


@frozen(kw_only=True)
class Cursor:
    """How far the journal was read: the number of a blob and bytes of it. `ahead` is the bytes of the next blob."""

    slot: int
    offset: int
    ahead: int = 0

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Read a cursor from the text that `encoded` made.

        Raises:
            InvalidCursor: the text is not a cursor.
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidCursor(f"after: {text[:80]!r} is not an `id` from an earlier answer.")
        return cls(slot=int(match[1]), offset=int(match[2]), ahead=int(match[3]))

    def encoded(self) -> str:
        """Return the cursor as text."""
        return f"{self.slot}.{self.offset}.{self.ahead}"


@frozen(kw_only=True)
class Position:
    """How far the journal was read back: the next entries end before byte `end` of this blob."""

    slot: int
    end: int

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Read a position from the text that `encoded` made.

        Raises:
            InvalidCursor: the text is not a position.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise InvalidCursor(f"after: {text[:80]!r} is not a `next` from an earlier answer.")
        return cls(slot=int(match[1]), end=int(match[2]))

    def encoded(self) -> str:
        """Return the position as text."""
        return f"{self.slot}.{self.end}"


@frozen
class Journal:
    """The journal of an account."""

    blobs: Blobs
    clock: Clock

    def append(self, entries: Iterable[Entry]) -> None:
        """Append entries. An error of storage is only logged, and the entries are then missing."""
        text = "".join(f"{entry.model_dump_json()}\n" for entry in entries)
        if not text:
            return
        try:
            self.blobs.append(naming.RECEIPTS, _blob(self._slot()), text.encode())
        except StorageError:
            logger.exception("Entries of the journal could not be written.")

    def end(self) -> Cursor:
        """Return a cursor at the end of the journal."""
        slot, now = self._slot(), self.clock().timestamp()
        if now - slot * BUCKET_SECONDS >= CLOCK_SKEW:
            return Cursor(slot=slot, offset=self._size(slot))
        return Cursor(slot=slot - 1, offset=self._size(slot - 1), ahead=self._size(slot))

    def is_old(self, cursor: Cursor) -> bool:
        """Return whether a cursor has expired, or is of an impossible time."""
        return not 0 <= self._slot() + 1 - cursor.slot <= CURSOR_TTL // BUCKET_SECONDS

    def read(self, cursor: Cursor) -> tuple[list[Entry], Cursor]:
        """Return the entries since, and the next cursor. One call; two when a blob's time has just ended."""
        entries, offset = self._read(cursor.slot, cursor.offset)
        cursor = evolve(cursor, offset=offset)
        if cursor.slot >= self._slot() or entries:
            return entries, cursor
        if self.clock().timestamp() < (cursor.slot + 1) * BUCKET_SECONDS + CLOCK_SKEW:
            entries, ahead = self._read(cursor.slot + 1, cursor.ahead)
            return entries, evolve(cursor, ahead=ahead)
        following = self._following(cursor.slot)
        return [], Cursor(slot=following, offset=cursor.ahead if following == cursor.slot + 1 else 0)

    def newest(
        self, wanted: Callable[[Entry], bool], *, limit: int, before: Position | None
    ) -> tuple[list[Entry], Position | None]:
        """Return up to `limit` wanted entries, newest first, and the position of the next ones, or None at the end."""
        found: list[Entry] = []
        pieces = 0
        for slot, size in self._slots(before):
            end = min(size, before.end) if before and before.slot == slot else size
            while end > 0:
                if pieces == _MOST_PIECES:
                    return found, Position(slot=slot, end=end)
                pieces += 1
                for line, start in self._lines_before(slot, end):
                    end = start
                    entry = _entry(line)
                    if entry is not None and wanted(entry):
                        found.append(entry)
                        if len(found) == limit:
                            return found, Position(slot=slot, end=end)
        return found, None

    def _read(self, slot: int, offset: int) -> tuple[list[Entry], int]:
        data = self.blobs.read_from(naming.RECEIPTS, _blob(slot), offset, MOST_READ)
        whole = data[: data.rfind(b"\n") + 1]
        entries = [entry for line in whole.splitlines() if (entry := _entry(line)) is not None]
        return entries, offset + len(whole)

    def _lines_before(self, slot: int, end: int) -> Sequence[tuple[bytes, int]]:
        """Return the last lines that end before a byte of a blob, last first, each with the byte where it starts."""
        start = max(0, end - MOST_READ // 16)
        data = self.blobs.read_from(naming.RECEIPTS, _blob(slot), start, end - start)
        lines: list[tuple[bytes, int]] = []
        while data:
            begin = data.rfind(b"\n", 0, len(data) - 1) + 1
            if begin == 0 and start > 0 and lines:
                break  # incomplete: the next piece has the whole line
            lines.append((data[begin:], start + begin))
            data = data[:begin]
        return lines or [(b"", 0)]

    def _slots(self, before: Position | None) -> Iterable[tuple[int, int]]:
        """Yield the blobs with their sizes, newest first."""
        for page in iter_pages(self.blobs, naming.RECEIPTS, FOLDER, size=100 if before is None else 5000):
            for item in page.items:
                slot = _LAST - int(item.name.removeprefix(FOLDER))
                if before is None or slot <= before.slot:
                    yield slot, item.size

    def _following(self, slot: int) -> int:
        """Return the next existing blob, or the current one: quiet periods have no blobs."""
        now = self._slot()
        if now - slot <= 2:  # noqa: PLR2004 - the next two
            return slot + 1
        return min((other for other, _ in self._slots(None) if slot < other < now), default=now)

    def _slot(self) -> int:
        return int(self.clock().timestamp()) // BUCKET_SECONDS

    def _size(self, slot: int) -> int:
        item = self.blobs.get(naming.RECEIPTS, _blob(slot))
        return item.size if item else 0


def _blob(slot: int) -> str:
    return f"{FOLDER}{_LAST - slot:07d}"


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None  # written by another release, or damaged
