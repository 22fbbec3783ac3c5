"""Events that reach the service, from storage, the training service and other systems.

Both schemas of Event Grid are read, its own and CloudEvents 1.0, as single events or arrays, in Base64 or plain
(https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage and .../event-schema-machine-learning).
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from function_app.errors import InvalidEvent

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
RUN_COMPLETED = "Microsoft.MachineLearningServices.RunCompleted"
RUN_STATUS_CHANGED = "Microsoft.MachineLearningServices.RunStatusChanged"
RUN_EVENT_TYPES = (RUN_COMPLETED, RUN_STATUS_CHANGED)
TRAINING_REQUESTED = "Kedja.TrainingRequested"

LONGEST_TEXT = 10_000
"""Max bytes of a string in an event, as JSON that escapes what is not ASCII: a blob's name has at most 1,024
characters, and percent-encoding makes it up to nine times as long. A queue message has room for four of these."""
LARGEST_SIZE = 1 << 63
LARGEST_REQUEST = 32_000
"""Max bytes of a request for training in JSON: a queue message has 64 KiB, and Base64 adds a third."""


@frozen(kw_only=True)
class BlobCreated:
    """A blob was written. `url` is percent-encoded, `size` in bytes, `api` the operation that wrote it."""

    id: str
    url: str
    size: int
    api: str


@frozen(kw_only=True)
class RunChanged:
    """A run of the training service changed its status, or Kedja itself wants to check a run again."""

    id: str
    job: str


@frozen(kw_only=True)
class TrainingRequested:
    """Another system requests a training. `spec` has the keys of a job.yaml, including `experiment_name`."""

    id: str
    source: str
    spec: Mapping[str, Any]


Event = BlobCreated | RunChanged | TrainingRequested


def decode(body: bytes | str) -> Any:  # noqa: ANN401 - whatever JSON the sender sent
    """Return the JSON value in a message, which may be in Base64.

    Raises:
        InvalidEvent: The message is not JSON.
    """
    text = body.encode() if isinstance(body, str) else body
    candidates = [text]
    with contextlib.suppress(binascii.Error, ValueError):  # plain JSON is not Base64
        candidates.append(base64.b64decode(text, validate=True))
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    raise InvalidEvent(f"The message is not JSON, plain or in Base64: {text[:80]!r}…")


def iter_events(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - as decode
    """Yield each raw event of a single event or an array of events.

    Raises:
        InvalidEvent: An event is not a JSON object.
    """
    for event in value if isinstance(value, list) else [value]:
        if not isinstance(event, dict):
            raise InvalidEvent(f"An event must be a JSON object, not {type(event).__name__}: {str(event)[:80]}.")
        yield event


def type_of(event: Mapping[str, Any]) -> str:
    """Return the event's type, in either schema.

    Raises:
        InvalidEvent: The event has no type.
    """
    kind = event.get("eventType", event.get("type"))
    if not isinstance(kind, str):
        raise InvalidEvent("The event has no type: eventType (Event Grid schema) or type (CloudEvents) is missing.")
    return kind


def parse(event: Mapping[str, Any]) -> Event | None:
    """Return the parsed event, or None for a type that Kedja does not handle.

    Raises:
        InvalidEvent: An event of a known type lacks a value, or has an invalid one.
    """
    kind, data = type_of(event), event.get("data")
    if kind == BLOB_CREATED:
        return _blob_created(event, _object(data, kind))
    if kind in RUN_EVENT_TYPES:
        return RunChanged(id=_text(event, "id", kind), job=_text(_folded(_object(data, kind)), "runid", kind))
    if kind == TRAINING_REQUESTED:
        return _training_requested(event, _object(data, kind))
    return None


def message(event: BlobCreated | RunChanged) -> dict[str, Any]:
    """Return an event in Event Grid's schema, with only what `parse` reads: queue messages are limited in size."""
    if isinstance(event, BlobCreated):
        data: dict[str, Any] = {"url": event.url, "contentLength": event.size, "api": event.api}
        return {"id": event.id, "eventType": BLOB_CREATED, "data": data}
    return {"id": event.id, "eventType": RUN_STATUS_CHANGED, "data": {"runId": event.job}}


def _blob_created(event: Mapping[str, Any], data: Mapping[str, Any]) -> BlobCreated:
    size = data.get("contentLength", 0)
    if not isinstance(size, int) or not 0 <= size < LARGEST_SIZE:
        raise InvalidEvent(f"{BLOB_CREATED}: data.contentLength is not a valid size: {_shown(size)}.")
    return BlobCreated(
        id=_text(event, "id", BLOB_CREATED),
        url=_text(data, "url", BLOB_CREATED),
        size=size,
        api=_text(data, "api", BLOB_CREATED) if data.get("api") else "",
    )


def _training_requested(event: Mapping[str, Any], data: Mapping[str, Any]) -> TrainingRequested:
    _text(data, "experiment_name", TRAINING_REQUESTED)
    if (length := len(json.dumps(data))) > LARGEST_REQUEST:
        raise InvalidEvent(f"{TRAINING_REQUESTED}: data has {length} bytes; at most {LARGEST_REQUEST} are allowed.")
    source = _text(event, "source" if "source" in event else "topic", TRAINING_REQUESTED)
    return TrainingRequested(id=_text(event, "id", TRAINING_REQUESTED), source=source, spec=data)


def _object(value: Any, kind: str) -> Mapping[str, Any]:  # noqa: ANN401 - as decode
    if not isinstance(value, dict):
        raise InvalidEvent(f"{kind}: data is not a JSON object.")
    return value


def _folded(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fold the case of keys: real run events differ in it from documented ones."""
    return {key.casefold(): value for key, value in data.items()}


def _text(values: Mapping[str, Any], key: str, kind: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidEvent(f"{kind}: {key} is missing or not a string.")
    if (length := len(json.dumps(value)) - len('""')) > LONGEST_TEXT:
        raise InvalidEvent(f"{kind}: {key} has {length} bytes in JSON; at most {LONGEST_TEXT} are allowed.")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # only JSON can hold a lone surrogate
        raise InvalidEvent(f"{kind}: {key} is not valid Unicode: {_shown(value)}.") from error
    return value


def _shown(value: object) -> str:
    """Return a value as an error message shows it: cut to 80 characters; of a whole number only its length."""
    return f"{type(value).__name__} of {value.bit_length()} bits" if isinstance(value, int) else repr(value)[:80]
