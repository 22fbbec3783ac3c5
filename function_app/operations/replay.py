"""Replay: send poison messages and dead letters again.

A poison message is put back on its queue and then deleted. Dead letters belong to Event Grid and are read-only for the
app: they are marked as replayed instead. Every step may be repeated, since each message may arrive twice.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import incoming_events, naming
from function_app.errors import BlobNotFound, InvalidEvent
from function_app.operations.poison import PoisonMessage
from function_app.operations.training_requests import TrainingRequests
from function_app.ports.storage import MAX_LIST_PAGE, BlobItem, Blobs, Queues, iter_items

logger = logging.getLogger(__name__)

MOST = 100
"""Max messages that one request replays."""
LARGEST = 1 << 20
"""Max bytes to read of a dead letter."""
POISON = ".poison/"
REPLAYED = ".replayed/"
"""Prefix in the container `receipts` of the marks of replayed dead letters."""

_AT_ONCE = 16


class Admit(Protocol):
    """Puts an event on the queue of its type; returns whether there is one."""

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Ingest the event.

        Raises:
            InvalidEvent: an event of a known type lacks a required field.
        """


@frozen(kw_only=True)
class ReplayItem:
    """A message or event that can be replayed. `id` is `<kind>/<blob name>`."""

    id: str
    kind: Literal["poison", "dead-letter"]
    queue: str
    reason: str
    at: datetime


@frozen(kw_only=True)
class ReplayFailure:
    """An item that was not replayed, and why."""

    id: str
    reason: str


class CannotBeReplayed(InvalidEvent):
    """The item is not a message or event that Kedja can process."""


@frozen(kw_only=True)
class Replay:
    """Lists and replays the poison messages and dead letters of an account."""

    blobs: Blobs
    queues: Queues
    training_requests: TrainingRequests
    admit: Admit

    def waiting(self, *, limit: int, after: str = "") -> list[ReplayItem]:
        """Return up to `limit` waiting items with ids greater than `after`: dead letters first, then poison."""
        found: list[ReplayItem] = []
        for items in (self._dead_letters(), self._poison()):
            for item in items:
                if item.id > after:
                    found.append(item)
                if len(found) == limit:
                    return self._with_reasons(found)
        return self._with_reasons(found)

    def send_all(self) -> tuple[list[str], list[ReplayFailure]]:
        """Send the waiting items again, at most `MOST`; return the same as `send`."""
        sent: list[str] = []
        left: list[ReplayFailure] = []
        after = ""
        while len(sent) < MOST and (found := self.waiting(limit=MOST - len(sent), after=after)):
            after = found[-1].id
            went, stayed = self.send(one.id for one in found)
            sent, left = sent + went, left + stayed
        return sent, left

    def send(self, ids: Iterable[str]) -> tuple[list[str], list[ReplayFailure]]:
        """Send these items again; return the ids of those sent, and the failures with their reasons."""
        sent: list[str] = []
        left: list[ReplayFailure] = []
        for one in dict.fromkeys(ids):
            try:
                self._send(one)
            except InvalidEvent as error:
                left.append(ReplayFailure(id=one, reason=str(error)))
            except BlobNotFound:
                left.append(ReplayFailure(id=one, reason="There is no such item, or it was already replayed."))
            else:
                logger.info("%s was replayed.", one)
                sent.append(one)
        return sent, left

    def _send(self, one: str) -> None:
        kind, _, name = one.partition("/")
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise BlobNotFound(name)  # it would point outside of its prefix
        if kind == "poison":
            self._send_poison(name)
        elif kind == "dead-letter":
            self._send_dead_letter(name)
        else:
            raise CannotBeReplayed(
                "It is not a valid id: ids begin with poison/ or dead-letter/. GET /api/replay lists them."
            )

    def _send_poison(self, name: str) -> None:
        place = f"{POISON}{name}"
        try:
            message = PoisonMessage.from_bytes(self.blobs.read(naming.RECEIPTS, place).data)
        except ValidationError as error:
            raise CannotBeReplayed("The blob does not contain a poison message.") from error
        if message.queue not in naming.QUEUES:
            raise CannotBeReplayed(f"There is no queue {message.queue!r}.")
        for part in [
            self._part(part, name) for part in incoming_events.iter_events(incoming_events.decode(message.body))
        ]:
            self.queues.send(message.queue, part)
        self.blobs.delete(naming.RECEIPTS, place)

    def _part(self, part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """Return what to put on the queue. Raise CannotBeReplayed for a request whose job spec no longer exists."""
        part = self.training_requests.kept_apart(part, of=name)
        if self.training_requests.is_gone(part):
            raise CannotBeReplayed(
                "Its job spec no longer exists: the request was answered, its experiment was deleted, or it is older "
                "than 90 days. Send the event again if it is still wanted, and delete "
                f"{naming.RECEIPTS}/{POISON}{name}."
            )
        return part

    def _send_dead_letter(self, name: str) -> None:
        mark = f"{REPLAYED}{name}"
        if self.blobs.get(naming.RECEIPTS, mark) is not None:
            raise BlobNotFound(f"{name} was already replayed.")
        letters = _letters(self.blobs.read(naming.DEAD_LETTER, name, limit=LARGEST).data)
        if not any([self.admit(letter) for letter in letters]):  # noqa: C419 - each must be ingested
            raise CannotBeReplayed("Kedja does not handle events of this type.")
        self.blobs.replace(naming.RECEIPTS, mark, b"")

    def _poison(self) -> Iterator[ReplayItem]:
        for item in iter_items(self.blobs, naming.RECEIPTS, POISON, size=MAX_LIST_PAGE):
            name = item.name.removeprefix(POISON)
            yield ReplayItem(
                id=f"poison/{name}",
                kind="poison",
                queue=name.partition("/")[0],
                reason=unquote(item.metadata.get("reason", "")),
                at=item.modified,
            )

    def _dead_letters(self) -> Iterator[ReplayItem]:
        letters = iter_items(self.blobs, naming.DEAD_LETTER, "", size=MAX_LIST_PAGE)
        done: set[str] | None = None
        for item in letters:
            if not item.name.endswith(".json"):
                continue
            if done is None:  # usually there are no dead letters, and the marks need not be listed
                done = {mark.name for mark in iter_items(self.blobs, naming.RECEIPTS, REPLAYED, size=MAX_LIST_PAGE)}
            if f"{REPLAYED}{item.name}" not in done:
                yield _dead_letter(item)

    def _with_reasons(self, found: list[ReplayItem]) -> list[ReplayItem]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._with_reason, found))

    def _with_reason(self, one: ReplayItem) -> ReplayItem:
        """Return the item with its queue and reason; those of a dead letter are only in its content."""
        if one.kind == "poison":
            return one
        try:
            name = one.id.removeprefix("dead-letter/")
            letter = _letters(self.blobs.read(naming.DEAD_LETTER, name, limit=LARGEST).data)[0]
            queue = _queue(letter)
        except (InvalidEvent, BlobNotFound) as error:
            return ReplayItem(id=one.id, kind=one.kind, queue="", reason=str(error), at=one.at)
        outcome = (letter.get("deadLetterReason"), letter.get("lastDeliveryOutcome"))
        reason = ", ".join(str(part) for part in outcome if part) or "Event Grid gives no reason."
        return ReplayItem(id=one.id, kind=one.kind, queue=queue, reason=reason, at=one.at)


def _dead_letter(item: BlobItem) -> ReplayItem:
    return ReplayItem(id=f"dead-letter/{item.name}", kind="dead-letter", queue="", reason="", at=item.modified)


def _letters(data: bytes) -> list[Mapping[str, Any]]:
    """Return the events of a dead letter: https://learn.microsoft.com/azure/event-grid/manage-event-delivery."""
    try:
        letters = list(incoming_events.iter_events(json.loads(data)))
    except (ValueError, RecursionError) as error:
        raise CannotBeReplayed("It is not a dead letter from Event Grid: it is not JSON.") from error
    if not letters:
        raise CannotBeReplayed("It contains no event.")
    return letters


def _queue(letter: Mapping[str, Any]) -> str:
    event = incoming_events.parse(letter)
    if event is None:
        return ""
    return naming.BLOB_EVENTS if isinstance(event, incoming_events.BlobCreated) else naming.RUN_EVENTS
