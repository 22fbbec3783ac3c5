"""The event door: other systems' events by HTTP, in either of Event Grid's schemas, with both handshakes.

CloudEvents 1.0 in its three modes (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md),
the WebHook handshake (…/cloudevents/http-webhook.md), and Event Grid's own schema
(https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema).
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from function_app.domain import incoming_events
from function_app.errors import InvalidEvent, RoleMissing
from function_app.http.auth import Access, Needs, Service, access_of
from function_app.http.callers import Caller, Role
from function_app.http.problems import answers

router = APIRouter(prefix="/api/events", tags=["events"])

Sender = Annotated[Caller, Depends(Needs(Role.DATA, everything=True, key_in_query=True))]
"""An event may be about any experiment, so its sender is not limited to some."""

ALLOWED_RATE = "*"
"""Requests a minute that a sender may make: queues take whatever comes."""
MOST_REQUESTS = 20
"""Requests for training that one body has at most: each is a job spec to be checked, and a blob to be written."""
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_SCHEMA = {"schema": {"type": "object"}}


class Admitted(BaseModel):
    """How many events came, and how many of them Kedja acts on. `validationResponse` answers a handshake."""

    received: int = 0
    accepted: int = 0
    ignored: int = 0
    validation_response: str | None = Field(default=None, serialization_alias="validationResponse")


async def raw_body(request: Request) -> bytes:
    """Return a request's body as it was sent, whatever its type says."""
    return await request.body()


@router.options(
    "",
    operation_id="allow_events",
    response_class=Response,
    responses={**answers(HTTPStatus.BAD_REQUEST), 200: {"description": "Allowed."}},
)
def allow_events(
    request: Request,
    _caller: Sender,
    origin: Annotated[str | None, Header(alias="WebHook-Request-Origin", max_length=255)] = None,
) -> Response:
    """Let a sender of CloudEvents in (WebHook handshake). KEDJA_EVENT_ORIGINS lists those that may."""
    if origin is None:
        raise InvalidEvent("The header WebHook-Request-Origin is missing: it names who wants to send.")
    if not _is_allowed(access_of(request), origin):
        raise RoleMissing(f"{origin} may not send events: KEDJA_EVENT_ORIGINS does not list it.")
    headers = {"Allow": "POST", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": ALLOWED_RATE}
    return Response(headers=headers)


@router.post(
    "",
    operation_id="receive_events",
    response_model_exclude_none=True,
    responses=answers(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": _SCHEMA, _STRUCTURED: _SCHEMA, _BATCH: {"schema": {"type": "array"}}},
        }
    },
)
def receive_events(
    request: Request, caller: Sender, kedja: Service, body: Annotated[bytes, Depends(raw_body)]
) -> Admitted:
    """Take events in: CloudEvents (single, batch or binary), or Event Grid's schema. All are good, or none is taken."""
    kind = request.headers.get("aeg-event-type", "Notification")
    if kind == "SubscriptionDeletion":
        return Admitted()
    received = read_events(request.headers, body)
    if kind == "SubscriptionValidation":
        return Admitted(validation_response=_validation_code(received))
    if kind != "Notification":
        raise InvalidEvent(f"aeg-event-type is {kind!r}, which means nothing here.")
    _check_requests(received)
    accepted = kedja.entrance.admit_all(received, code=caller.may_code)
    return Admitted(received=len(received), accepted=accepted, ignored=len(received) - accepted)


def read_events(headers: Mapping[str, str], body: bytes) -> list[Mapping[str, Any]]:
    """Return the events in a request. `headers` finds names in any case, or has them in lower case.

    Raises:
        InvalidEvent: where there is something else, or a required attribute is missing.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (_STRUCTURED, _BATCH) and "ce-specversion" in headers:
        return [_checked(_binary(headers, media_type, body))]
    value = _json(body)
    if media_type == _STRUCTURED and not isinstance(value, dict):
        raise InvalidEvent(f"{_STRUCTURED} is one event, a JSON object.")
    if media_type == _BATCH and not isinstance(value, list):
        raise InvalidEvent(f"{_BATCH} is a JSON array of events.")
    is_cloud = media_type in (_STRUCTURED, _BATCH)
    return [_checked(event, is_cloud=is_cloud) for event in incoming_events.each(value)]


def _binary(headers: Mapping[str, str], media_type: str, body: bytes) -> dict[str, Any]:
    """Read the binary mode: attributes are headers, percent-encoded, and the body is the data."""
    event: dict[str, Any] = {
        name.lower().removeprefix("ce-"): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith("ce-")
    }
    if body and (media_type == "application/json" or media_type.endswith("+json")):
        event["data"] = _json(body)
    elif body:
        event["data"] = body.decode("utf-8", "replace")
    return event


def _checked(event: Mapping[str, Any], *, is_cloud: bool = False) -> Mapping[str, Any]:
    """Return an event with what its schema requires, its data as a value."""
    is_cloud = is_cloud or "specversion" in event
    if is_cloud and event.get("specversion") != "1.0":
        raise InvalidEvent(f"specversion is {event.get('specversion')!r}: CloudEvents 1.0 are understood.")
    for name in ("id", "source", "type") if is_cloud else ("id", "eventType"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise InvalidEvent(f"The event's {name} is missing or no text.")
    if "data_base64" not in event:
        return event
    try:
        data = base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidEvent("The event's data_base64 is no Base64.") from error
    value: Any = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):  # data may be anything
        value = json.loads(data)
    return {**event, "data": value}


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever JSON the sender sent
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent("The body is not JSON.") from error


def _check_requests(received: list[Mapping[str, Any]]) -> None:
    """Raise InvalidEvent for too many requests for training, before any of them is read."""
    asked = sum(incoming_events.type_of(event) == incoming_events.TRAINING_REQUESTED for event in received)
    if asked > MOST_REQUESTS:
        raise InvalidEvent(
            f"The body has {asked} events {incoming_events.TRAINING_REQUESTED}; at most {MOST_REQUESTS} are taken at "
            f"once. None was taken: send {MOST_REQUESTS} in a body at most."
        )


def _validation_code(received: list[Mapping[str, Any]]) -> str:
    data = received[0].get("data") if len(received) == 1 else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        raise InvalidEvent("A SubscriptionValidation is an array of one event with data.validationCode.")
    return code


def _is_allowed(access: Access, origin: str) -> bool:
    return access.callers.is_local or origin.lower() in {one.lower() for one in access.event_origins}
