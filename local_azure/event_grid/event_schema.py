"""The two event schemas, Event Grid's own and CloudEvents 1.0: reading, validation and conversion.

Formats: https://learn.microsoft.com/azure/event-grid/event-schema and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md.
"""

import enum
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local_azure.errors import LocalAzureError

Event = Mapping[str, Any]


class EventSchema(enum.StrEnum):
    """A schema, by its name in Azure's templates."""

    EVENT_GRID = "EventGridSchema"
    CLOUD_EVENTS = "CloudEventSchemaV1_0"


class InvalidEvents(LocalAzureError):
    """The published events are not valid for the topic."""


_Text = Annotated[str, Field(min_length=1)]


class _EventGridEvent(BaseModel):
    model_config = ConfigDict(strict=True)

    id: _Text
    subject: _Text
    eventType: _Text  # noqa: N815 - the format's names
    eventTime: Annotated[datetime, Field(strict=False)]  # noqa: N815
    data: Any = None
    dataVersion: str = ""  # noqa: N815
    metadataVersion: Literal["1"] = "1"  # noqa: N815
    topic: str | None = None


class _CloudEvent(BaseModel):
    model_config = ConfigDict(strict=True)

    id: _Text
    source: _Text
    type: _Text
    specversion: Literal["1.0"]
    subject: _Text | None = None
    time: Annotated[datetime | None, Field(strict=False)] = None


_MODELS: dict[EventSchema, type[BaseModel]] = {
    EventSchema.EVENT_GRID: _EventGridEvent,
    EventSchema.CLOUD_EVENTS: _CloudEvent,
}
_CONTENT_TYPES = {
    "application/json": (EventSchema.EVENT_GRID, True),
    "application/cloudevents-batch+json": (EventSchema.CLOUD_EVENTS, True),
    "application/cloudevents+json": (EventSchema.CLOUD_EVENTS, False),
}


def read_events(body: bytes, content_type: str, schema: EventSchema, source: str) -> list[dict[str, Any]]:
    """Return the published events, with the fields that Event Grid adds, such as the topic if it is missing.

    Args:
        body: JSON; an array of events, or one event.
        content_type: tells Event Grid's schema from CloudEvents, and one CloudEvent from an array.
        schema: the schema that the topic accepts.
        source: the topic's resource id.

    Raises:
        InvalidEvents: names the event, the property and what is wrong with it.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _CONTENT_TYPES:
        raise InvalidEvents(f"The content type {content_type!r} is not one of: {', '.join(_CONTENT_TYPES)}.")
    sent, may_be_array = _CONTENT_TYPES[kind]
    if sent is not schema:
        raise InvalidEvents(f"This topic accepts events in {schema}; the content type {kind} is for {sent}.")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEvents(f"The body is not JSON: {error}.") from error
    if isinstance(document, list) and not may_be_array:
        raise InvalidEvents(f"{kind} carries one event; an array is application/cloudevents-batch+json.")
    events = document if isinstance(document, list) else [document]
    return [_validated(event, number, schema, source) for number, event in enumerate(events)]


def type_of(event: Event) -> str:
    """Return the event's type, in either schema."""
    return str(event["type"] if "specversion" in event else event["eventType"])


def subject_of(event: Event) -> str:
    """Return the event's subject, in either schema; empty if a CloudEvent has none."""
    return str(event.get("subject") or "")


def in_schema(event: Event, schema: EventSchema) -> Event:
    """Return the event in this schema. CloudEvents are returned unchanged: Event Grid does not convert them."""
    if schema is EventSchema.EVENT_GRID or "specversion" in event:
        return event
    converted = {
        "id": event["id"],
        "source": event["topic"],
        "subject": event["subject"],
        "type": event["eventType"],
        "time": event["eventTime"],
        "data": event.get("data"),
        "specversion": "1.0",
    }
    return converted | ({"dataschema": f"#{event['dataVersion']}"} if event["dataVersion"] else {})


def problems_of(error: ValidationError) -> Iterable[str]:
    """Return each problem in words: its location, what is wrong, and a short value."""
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in problem["loc"]) or "the document"
        value = f" (here: {problem['input']!r})" if isinstance(problem["input"], str | int | float | bool) else ""
        yield f"{place}: {problem['msg']}{value}"


def _validated(event: object, number: int, schema: EventSchema, source: str) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise InvalidEvents(f"Event {number} is not a JSON object.")
    try:
        _MODELS[schema].model_validate(event)
    except ValidationError as error:
        raise InvalidEvents(
            f"Event {number} is not a valid event in {schema}: {'; '.join(problems_of(error))}."
        ) from error
    if schema is EventSchema.EVENT_GRID:
        return {"topic": source, "dataVersion": "", "metadataVersion": "1"} | event
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#attribute-naming-convention
    for name in event:
        if name != "data_base64" and not (name.isascii() and name.isalnum() and name == name.lower()):
            raise InvalidEvents(f"Event {number} has the attribute {name!r}; names are lower-case letters and digits.")
    return event
