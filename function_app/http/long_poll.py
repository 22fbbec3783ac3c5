"""Long polling: a response with new server-sent events as soon as there are any, or an empty one after some seconds.

The Functions host's ASGI adapter buffers a response before it sends it, so an endless stream would never arrive.
`EventSource` treats the end of a response as a broken connection, and requests again with the last id.
https://html.spec.whatwg.org/multipage/server-sent-events.html
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

MAX_WAIT = 20.0
"""Max wait in seconds, well below the idle timeouts of proxies and load balancers."""
RETRY = 1000
"""Milliseconds after which a client should request again."""
PAUSE = 1.0
"""Seconds between two polls."""
MEDIA_TYPE = "text/event-stream"
_MOST_STEPS = 200
"""Max pieces of the journal that one poll reads, if a client was away for long."""
_MOST_REMEMBERED = 4
"""Max cached reads of the journal, up to 4 MB each."""


@frozen(kw_only=True)
class Message:
    """An event in a response. `id`, which only the last one needs, is what the client sends to continue after it."""

    event: str
    data: Mapping[str, Any]
    id: str | None = None


class Source(Protocol):
    """A source of messages."""

    @property
    def id(self) -> str:
        """The position after the last message that was returned."""

    def poll(self) -> Sequence[Message]:
        """Return new messages, without waiting."""


async def answer(feed: Source, *, wait: float, pause: float = PAUSE) -> Response:
    """Return new messages as soon as there are any, or none after `wait` seconds.

    Other requests are not blocked: each poll runs in a thread, and no thread is held between two polls.
    """
    until = time.monotonic() + min(wait, MAX_WAIT)
    messages = await run_in_threadpool(feed.poll)
    while not messages and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        messages = await run_in_threadpool(feed.poll)
    return Response(f"retry: {RETRY}\n\n{_text(messages, feed.id)}", media_type=MEDIA_TYPE)


def _text(messages: Sequence[Message], last: str) -> str:
    if not messages:
        return f"id: {last}\n\n"  # without data this is not an event, but the client remembers the id
    *others, end = messages
    return "".join(map(_block, [*others, evolve(end, id=end.id or last)]))


def _block(message: Message) -> str:
    number = "" if message.id is None else f"id: {message.id}\n"
    return f"event: {message.event}\n{number}data: {json.dumps(message.data, ensure_ascii=False)}\n\n"


class SharedJournalReader:
    """The journal, shared by all requests that wait for its next entry, so that each part is read only once.

    The result of a read, even if empty, is reused for one second by all that read from the same cursor.
    """

    def __init__(self, journal: Journal, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.journal = journal
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read: dict[Cursor, tuple[float, list[Entry], Cursor]] = {}

    def read(self, cursor: Cursor) -> tuple[list[Entry], Cursor]:
        """Return what `Journal.read` does, or the cached result of a recent read from this cursor."""
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
    """The journal's entries after a cursor. `tell` turns entries into messages.

    Without a valid, recent cursor it starts at the journal's end, with a message `start`.
    """

    def __init__(
        self, watch: SharedJournalReader, after: str | None, tell: Callable[[Sequence[Entry]], Sequence[Message]]
    ) -> None:
        """Start at a cursor.

        Raises:
            InvalidCursor: `after` is not a cursor.
        """
        self._watch = watch
        self._tell = tell
        cursor = Cursor.decoded(after) if after else None
        self._cursor = None if cursor is None or watch.journal.is_old(cursor) else cursor

    @property
    def id(self) -> str:
        """The cursor after the last entry that was read."""
        return self._cursor.encoded() if self._cursor else ""

    def poll(self) -> Sequence[Message]:
        """Return the messages of new entries, without waiting."""
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
    """A job's log from an offset. `read` returns its next piece as (text, next offset, whether the log is complete)."""

    def __init__(self, offset: int, read: Callable[[int], tuple[str, int, bool]]) -> None:
        self._offset = offset
        self._read = read

    @property
    def id(self) -> str:
        """The next byte to read."""
        return str(self._offset)

    def poll(self) -> Sequence[Message]:
        """Return the next piece of the log, without waiting."""
        text, self._offset, complete = self._read(self._offset)
        messages = [Message(event="log", data={"text": text}, id=self.id)] if text else []
        return [*messages, Message(event="end", data={})] if complete else messages
