"""Live answers: what is new, as soon as it is there, in the form of server-sent events, and then the end.

The Functions host's ASGI adapter joins an answer before it sends it, so an endless stream would never arrive. An answer
that ends when there is something to tell, or after some seconds, is what `EventSource` takes for a broken connection:
it asks again, with the last id. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, frozen
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from function_app.store.journal import Cursor, Entry, Journal

LONGEST = 20.0
"""Seconds that an answer takes at most, well below what stands between lets pass in silence."""
RETRY = 1000
"""Milliseconds after which a client is to ask again."""
PAUSE = 1.0
"""Seconds between two looks."""
MEDIA_TYPE = "text/event-stream"
_MOST_STEPS = 200
"""How many pieces of the journal one look reads at most, where a client was away for long."""
_MOST_REMEMBERED = 4
"""How many places of the journal are remembered with what was read there, up to 4 MB each."""


@frozen(kw_only=True)
class Message:
    """An event of an answer. `id` is what the client shows to go on after it, None for all but the last."""

    event: str
    data: Mapping[str, Any]
    id: str | None = None


class Feed(Protocol):
    """Something that messages come from."""

    @property
    def id(self) -> str:
        """How far it was told."""

    def look(self) -> Sequence[Message]:
        """Return what is new, at once."""


async def answer(feed: Feed, *, wait: float, pause: float = PAUSE) -> Response:
    """Return what is new, as soon as there is something, or nothing after `wait` seconds.

    Nobody else waits meanwhile: each look runs in a thread, and between two there is none.
    """
    until = time.monotonic() + min(wait, LONGEST)
    messages = await run_in_threadpool(feed.look)
    while not messages and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        messages = await run_in_threadpool(feed.look)
    return Response(f"retry: {RETRY}\n\n{_text(messages, feed.id)}", media_type=MEDIA_TYPE)


def _text(messages: Sequence[Message], last: str) -> str:
    if not messages:
        return f"id: {last}\n\n"  # without data it is no event, and still where the client goes on
    *others, end = messages
    return "".join(map(_block, [*others, evolve(end, id=end.id or last)]))


def _block(message: Message) -> str:
    number = "" if message.id is None else f"id: {message.id}\n"
    return f"event: {message.event}\n{number}data: {json.dumps(message.data, ensure_ascii=False)}\n\n"


class JournalWatch:
    """The journal as everyone sees it who waits for its next line: however many they are, each part is asked for once.

    What was read from a place, lines or none, is what everyone else reads from there for a second.
    """

    def __init__(self, journal: Journal, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.journal = journal
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: dict[Cursor, tuple[float, list[Entry], Cursor]] = {}

    def read(self, cursor: Cursor) -> tuple[list[Entry], Cursor]:
        """Return what `Journal.read` does, or what another has just read from there."""
        with self._lock:
            looked, entries, following = self._read.pop(cursor, (-math.inf, [], cursor))
            if self._monotonic() - looked >= PAUSE:
                entries, following = self.journal.read(cursor)
                looked = self._monotonic()
            self._read[cursor] = looked, entries, following
            if len(self._read) > _MOST_REMEMBERED:
                del self._read[next(iter(self._read))]
            return entries, following


class JournalFeed:
    """What the journal tells from a cursor on. `tell` makes the messages of some entries.

    Without a cursor that can be followed it begins at the journal's end, and says so at once (`start`).
    """

    def __init__(
        self, watch: JournalWatch, after: str | None, tell: Callable[[Sequence[Entry]], Sequence[Message]]
    ) -> None:
        """Take where to begin. Raise InvalidCursor where `after` is none."""
        self._watch = watch
        self._tell = tell
        cursor = Cursor.decoded(after) if after else None
        self._cursor = None if cursor is None or watch.journal.is_old(cursor) else cursor

    @property
    def id(self) -> str:
        return self._cursor.encoded() if self._cursor else ""

    def look(self) -> Sequence[Message]:
        if self._cursor is None:
            self._cursor = self._watch.journal.end()
            return [Message(event="start", data={})]
        for _ in range(_MOST_STEPS):
            entries, following = self._watch.read(self._cursor)
            is_same, self._cursor = following == self._cursor, following
            messages = self._tell(entries)
            if messages or is_same:
                return messages
        return []


class LogFeed:
    """A job's log from a byte on. `read` returns its next piece, as (text, next offset, whether that is all)."""

    def __init__(self, offset: int, read: Callable[[int], tuple[str, int, bool]]) -> None:
        self._offset = offset
        self._read = read

    @property
    def id(self) -> str:
        return str(self._offset)

    def look(self) -> Sequence[Message]:
        text, self._offset, complete = self._read(self._offset)
        messages = [Message(event="log", data={"text": text}, id=self.id)] if text else []
        return [*messages, Message(event="end", data={})] if complete else messages
