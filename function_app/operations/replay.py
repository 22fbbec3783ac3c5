"""Replay: what could not be worked on or delivered, back into the flow.

A message of the poison cabinet goes back on its queue and is deleted after that. A dead letter is Event Grid's, which
the app may only read: it is marked as replayed. Every step may be repeated, since each message may come twice.
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
from function_app.ports.storage import BlobItem, Blobs, Queues, listed

logger = logging.getLogger(__name__)

MOST = 100
"""How many are replayed by one request at most."""
LARGEST = 1 << 20
"""Bytes of a dead letter that are read."""
POISON = ".poison/"
REPLAYED = ".replayed/"
"""Where the container `receipts` has which dead letters were replayed."""

_AT_ONCE = 16


class Admit(Protocol):
    """Puts an event on the queue that its kind belongs to; returns whether there is one."""

    def __call__(self, event: Mapping[str, Any]) -> bool:
        """Raise InvalidEvent where a known kind lacks what it must have."""


@frozen(kw_only=True)
class Waiting:
    """Something that waits to be replayed. `id` is `<kind>/<name of its blob>`."""

    id: str
    kind: Literal["poison", "dead-letter"]
    queue: str
    reason: str
    at: datetime


@frozen(kw_only=True)
class Left:
    """Something that was not replayed, and why."""

    id: str
    reason: str


class CannotBeReplayed(InvalidEvent):
    """Nothing would understand it."""


@frozen(kw_only=True)
class Replay:
    """What can be replayed of an account."""

    blobs: Blobs
    queues: Queues
    requests: TrainingRequests
    admit: Admit

    def waiting(self, *, limit: int, after: str = "") -> list[Waiting]:
        """Return up to `limit` that wait and whose ids follow `after`: dead letters first, then poison."""
        found: list[Waiting] = []
        for items in (self._dead_letters(), self._poison()):
            for item in items:
                if item.id > after:
                    found.append(item)
                if len(found) == limit:
                    return self._with_reasons(found)
        return self._with_reasons(found)

    def send_all(self) -> tuple[list[str], list[Left]]:
        """Send back what waits, `MOST` of it at most; return what `send` does."""
        sent: list[str] = []
        left: list[Left] = []
        after = ""
        while len(sent) < MOST and (found := self.waiting(limit=MOST - len(sent), after=after)):
            after = found[-1].id
            went, stayed = self.send(one.id for one in found)
            sent, left = sent + went, left + stayed
        return sent, left

    def send(self, ids: Iterable[str]) -> tuple[list[str], list[Left]]:
        """Send these back; return the ids of those that went, and the others with the reason for each."""
        sent: list[str] = []
        left: list[Left] = []
        for one in dict.fromkeys(ids):
            try:
                self._send(one)
            except InvalidEvent as error:
                left.append(Left(id=one, reason=str(error)))
            except BlobNotFound:
                left.append(Left(id=one, reason="There is none, or it was replayed already."))
            else:
                logger.info("%s is back in the flow.", one)
                sent.append(one)
        return sent, left

    def _send(self, one: str) -> None:
        kind, _, name = one.partition("/")
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise BlobNotFound(name)  # it would lead elsewhere
        if kind == "poison":
            self._send_poison(name)
        elif kind == "dead-letter":
            self._send_dead_letter(name)
        else:
            raise CannotBeReplayed("GET /api/replay lists ids: they begin with poison/ or dead-letter/.")

    def _send_poison(self, name: str) -> None:
        place = f"{POISON}{name}"
        try:
            message = PoisonMessage.decoded(self.blobs.read(naming.RECEIPTS, place).data)
        except ValidationError as error:
            raise CannotBeReplayed("What lies there is no message.") from error
        if message.queue not in naming.QUEUES:
            raise CannotBeReplayed(f"There is no queue {message.queue!r}.")
        for part in [self._part(part, name) for part in incoming_events.each(incoming_events.decode(message.body))]:
            self.queues.send(message.queue, part)
        self.blobs.delete(naming.RECEIPTS, place)

    def _part(self, part: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """Return what goes on the queue. Raise CannotBeReplayed for a request whose job spec is gone."""
        part = self.requests.kept_apart(part, of=name)
        if self.requests.is_gone(part):
            raise CannotBeReplayed(
                "The job spec that it asks for is gone: it was answered, its experiment was deleted, or it is older "
                "than 90 days. Send the event again if it is still wanted, and delete "
                f"{naming.RECEIPTS}/{POISON}{name}."
            )
        return part

    def _send_dead_letter(self, name: str) -> None:
        mark = f"{REPLAYED}{name}"
        if self.blobs.get(naming.RECEIPTS, mark) is not None:
            raise BlobNotFound(f"{name} was replayed already.")
        letters = _letters(self.blobs.read(naming.DEAD_LETTER, name, limit=LARGEST).data)
        if not any([self.admit(letter) for letter in letters]):  # noqa: C419 - each is to be admitted
            raise CannotBeReplayed("It is of no kind that Kedja acts on.")
        self.blobs.replace(naming.RECEIPTS, mark, b"")

    def _poison(self) -> Iterator[Waiting]:
        for page in listed(self.blobs, naming.RECEIPTS, POISON):
            for item in page.items:
                name = item.name.removeprefix(POISON)
                yield Waiting(
                    id=f"poison/{name}",
                    kind="poison",
                    queue=name.partition("/")[0],
                    reason=unquote(item.metadata.get("reason", "")),
                    at=item.modified,
                )

    def _dead_letters(self) -> Iterator[Waiting]:
        letters = (item for page in listed(self.blobs, naming.DEAD_LETTER, "") for item in page.items)
        done: set[str] | None = None
        for item in letters:
            if not item.name.endswith(".json"):
                continue
            if done is None:  # most often there is no dead letter, and nothing to look for
                done = {mark.name for page in listed(self.blobs, naming.RECEIPTS, REPLAYED) for mark in page.items}
            if f"{REPLAYED}{item.name}" not in done:
                yield _dead_letter(item)

    def _with_reasons(self, found: list[Waiting]) -> list[Waiting]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._with_reason, found))

    def _with_reason(self, one: Waiting) -> Waiting:
        """Look into a dead letter, whose listing tells nothing of it."""
        if one.kind == "poison":
            return one
        try:
            name = one.id.removeprefix("dead-letter/")
            letter = _letters(self.blobs.read(naming.DEAD_LETTER, name, limit=LARGEST).data)[0]
            queue = _queue(letter)
        except (InvalidEvent, BlobNotFound) as error:
            return Waiting(id=one.id, kind=one.kind, queue="", reason=str(error), at=one.at)
        outcome = (letter.get("deadLetterReason"), letter.get("lastDeliveryOutcome"))
        reason = ", ".join(str(part) for part in outcome if part) or "Event Grid names none."
        return Waiting(id=one.id, kind=one.kind, queue=queue, reason=reason, at=one.at)


def _dead_letter(item: BlobItem) -> Waiting:
    return Waiting(id=f"dead-letter/{item.name}", kind="dead-letter", queue="", reason="", at=item.modified)


def _letters(data: bytes) -> list[Mapping[str, Any]]:
    """Return the events of a dead letter: https://learn.microsoft.com/azure/event-grid/manage-event-delivery."""
    try:
        letters = list(incoming_events.each(json.loads(data)))
    except (ValueError, RecursionError) as error:
        raise CannotBeReplayed("It is no dead letter of Event Grid's: it is not JSON.") from error
    if not letters:
        raise CannotBeReplayed("It has no event.")
    return letters


def _queue(letter: Mapping[str, Any]) -> str:
    event = incoming_events.parse(letter)
    if event is None:
        return ""
    return naming.BLOB_EVENTS if isinstance(event, incoming_events.BlobCreated) else naming.RUN_EVENTS
