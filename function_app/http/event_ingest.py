"""Events from other systems by HTTP, in both of Event Grid's schemas, with their handshakes.

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
from function_app.http.auth import AuthContext, RequireRole, access_of
from function_app.http.callers import Caller, Role
from function_app.http.problems import problem_responses
from function_app.http.services import IngestDep

router = APIRouter(prefix="/api/events", tags=["events"])

Sender = Annotated[Caller, Depends(RequireRole(Role.DATA, everything=True, key_in_query=True))]
"""An event may be about any experiment, so its sender must see every experiment."""

ALLOWED_RATE = "*"
"""Max requests per minute of a sender: unlimited, since events go to queues."""
MOST_REQUESTS = 20
"""Max training requests in one body: for each, a job spec is checked and a blob is written."""
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_SCHEMA = {"schema": {"type": "object"}}


class IngestResult(BaseModel):
    """How many events were received, and how many of them Kedja acts on. `validationResponse` answers a handshake."""

    received: int = 0
    accepted: int = 0
    ignored: int = 0
    validation_response: str | None = Field(default=None, serialization_alias="validationResponse")


async def raw_body(request: Request) -> bytes:
    """Return a request's body as it was sent, whatever its content type."""
    return await request.body()


@router.options(
    "",
    operation_id="allow_events",
    response_class=Response,
    responses={**problem_responses(HTTPStatus.BAD_REQUEST), 200: {"description": "Allowed."}},
)
def allow_events(
    request: Request,
    _caller: Sender,
    origin: Annotated[str | None, Header(alias="WebHook-Request-Origin", max_length=255)] = None,
) -> Response:
    """Allow an origin to send CloudEvents (WebHook handshake). KEDJA_EVENT_ORIGINS lists the allowed origins."""
    if origin is None:
        raise InvalidEvent("The header WebHook-Request-Origin is missing; it must name the sender's origin.")
    if not _is_allowed(access_of(request), origin):
        raise RoleMissing(f"{origin} may not send events: KEDJA_EVENT_ORIGINS does not list it.")
    headers = {"Allow": "POST", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": ALLOWED_RATE}
    return Response(headers=headers)


@router.post(
    "",
    operation_id="receive_events",
    response_model_exclude_none=True,
    responses=problem_responses(
        HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": _SCHEMA, _STRUCTURED: _SCHEMA, _BATCH: {"schema": {"type": "array"}}},
        }
    },
)
def receive_events(
    request: Request, caller: Sender, ingest: IngestDep, body: Annotated[bytes, Depends(raw_body)]
) -> IngestResult:
    """Receive CloudEvents (single, batch or binary) or events in Event Grid's schema. One bad event rejects all."""
    kind = request.headers.get("aeg-event-type", "Notification")
    if kind == "SubscriptionDeletion":
        return IngestResult()
    received = read_events(request.headers, body)
    if kind == "SubscriptionValidation":
        return IngestResult(validation_response=_validation_code(received))
    if kind != "Notification":
        raise InvalidEvent(
            f"aeg-event-type is {kind!r}; it must be Notification, SubscriptionValidation or SubscriptionDeletion."
        )
    _check_requests(received)
    accepted = ingest.admit_all(received, code=caller.can_run_code)
    return IngestResult(received=len(received), accepted=accepted, ignored=len(received) - accepted)


def read_events(headers: Mapping[str, str], body: bytes) -> list[Mapping[str, Any]]:
    """Return the events in a request. `headers` must be case-insensitive or have names in lower case.

    Raises:
        InvalidEvent: the body is not an event or a list of events, or lacks a required attribute.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (_STRUCTURED, _BATCH) and "ce-specversion" in headers:
        return [_checked(_binary(headers, media_type, body))]
    value = _json(body)
    if media_type == _STRUCTURED and not isinstance(value, dict):
        raise InvalidEvent(f"The body of {_STRUCTURED} must be one event, a JSON object.")
    if media_type == _BATCH and not isinstance(value, list):
        raise InvalidEvent(f"The body of {_BATCH} must be a JSON array of events.")
    is_cloud = media_type in (_STRUCTURED, _BATCH)
    return [_checked(event, is_cloud=is_cloud) for event in incoming_events.iter_events(value)]


def _binary(headers: Mapping[str, str], media_type: str, body: bytes) -> dict[str, Any]:
    """Read an event in binary mode: attributes are percent-encoded headers, and the body is the data."""
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
    """Check an event's required attributes; return it with its Base64 data decoded."""
    is_cloud = is_cloud or "specversion" in event
    if is_cloud and event.get("specversion") != "1.0":
        raise InvalidEvent(f"specversion is {event.get('specversion')!r}; it must be '1.0'.")
    for name in ("id", "source", "type") if is_cloud else ("id", "eventType"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise InvalidEvent(f"The event's {name} must be a text that is not empty.")
    if "data_base64" not in event:
        return event
    try:
        data = base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidEvent("The event's data_base64 is not valid Base64.") from error
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
    """Raise InvalidEvent if there are too many training requests, before any of them is read."""
    asked = sum(incoming_events.type_of(event) == incoming_events.TRAINING_REQUESTED for event in received)
    if asked > MOST_REQUESTS:
        raise InvalidEvent(
            f"The body has {asked} events of type {incoming_events.TRAINING_REQUESTED}, more than {MOST_REQUESTS}. "
            f"None was accepted: send at most {MOST_REQUESTS} in one body."
        )


def _validation_code(received: list[Mapping[str, Any]]) -> str:
    data = received[0].get("data") if len(received) == 1 else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        raise InvalidEvent("A SubscriptionValidation must be an array of one event with data.validationCode.")
    return code


def _is_allowed(access: AuthContext, origin: str) -> bool:
    return access.callers.is_local or origin.lower() in {one.lower() for one in access.event_origins}
