"""Problems: what a refused request gets as its answer (RFC 9457, `application/problem+json`)."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from attrs import frozen
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from function_app.domain.receipt import IllegalMove
from function_app.drops.uploads import InvalidName
from function_app.errors import (
    AppNotAllowed,
    ComputeRefused,
    InvalidEvent,
    InvalidSettings,
    JobConflict,
    JobNotFound,
    JobRefused,
    KedjaError,
    NotFound,
    Refused,
    RoleMissing,
    StorageError,
    StorageUnavailable,
    TrainingServiceError,
    TrainingServiceUnavailable,
    Unauthenticated,
)
from function_app.http.idempotency import InvalidKey, KeyInProgress, KeyReused
from function_app.http.paging.position import InvalidToken
from function_app.jobspec.problem import InvalidJobSpec
from function_app.models.ownership import ModelNotShared, OwnerChanged
from function_app.store.deletions import BeingDeleted
from function_app.store.journal import InvalidCursor
from function_app.store.receipts import ReceiptBusy
from function_app.store.snapshots import ChangedMeanwhile, CopyUnderWay

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:kedja:problem:"


class KeyProblem(BaseModel):
    """One thing that is wrong with a request or a job.yaml. `line` and `column` count from 1."""

    key: str
    message: str
    line: int | None = None
    column: int | None = None


class ProblemView(BaseModel):
    """A problem (RFC 9457)."""

    type: str = Field(examples=[f"{TYPE_PREFIX}not-found"])
    title: str
    status: int
    detail: str
    what_to_do: str | None = None
    problems: list[KeyProblem] | None = None

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse(
            self.model_dump(exclude_none=True), self.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
        )


@frozen
class Kind:
    """How a kind of error is told. `retry_after` is in seconds, None where the same request will not do later."""

    status: HTTPStatus
    name: str
    title: str
    what_to_do: str | None = None
    retry_after: float | None = None


_INVALID = "Fix what `problems` names and send it again."
_LATER = "Send the same request again after the time that Retry-After names."
_UNREADABLE = Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request has a wrong value.", _INVALID)
_INTERNAL = Kind(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "Kedja failed.",
    "Look into the service's log, or ask whoever runs it. GET /api/checks says what works.",
)

KINDS: Mapping[type[KedjaError], Kind] = {
    Unauthenticated: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "Who calls is not known."),
    RoleMissing: Kind(
        HTTPStatus.FORBIDDEN, "role-missing", "The caller may not do this.", "Ask whoever runs Kedja for the role."
    ),
    NotFound: Kind(HTTPStatus.NOT_FOUND, "not-found", "There is no such thing."),
    JobNotFound: Kind(HTTPStatus.NOT_FOUND, "not-found", "There is no such thing."),
    Refused: Kind(HTTPStatus.CONFLICT, "refused", "The state of the thing does not allow it."),
    ModelNotShared: Kind(HTTPStatus.CONFLICT, "model-not-shared", "The model belongs to another experiment."),
    OwnerChanged: Kind(
        HTTPStatus.PRECONDITION_FAILED,
        "changed",
        "It is not as it was read.",
        "Read it again, and send your change anew.",
    ),
    IllegalMove: Kind(HTTPStatus.CONFLICT, "refused", "The state of the thing does not allow it."),
    JobConflict: Kind(HTTPStatus.CONFLICT, "job-conflict", "Another job has this name."),
    BeingDeleted: Kind(HTTPStatus.CONFLICT, "being-deleted", "The experiment is being deleted.", _LATER, 300),
    ReceiptBusy: Kind(HTTPStatus.CONFLICT, "busy", "The receipt is being written.", _LATER, 10),
    ChangedMeanwhile: Kind(HTTPStatus.CONFLICT, "changed-meanwhile", "Files changed meanwhile.", _LATER, 10),
    InvalidToken: _UNREADABLE,
    InvalidCursor: _UNREADABLE,
    InvalidKey: _UNREADABLE,
    KeyReused: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "The idempotency key belongs to another request.",
        "Send each thing to be done with a key of its own.",
    ),
    KeyInProgress: Kind(HTTPStatus.CONFLICT, "in-progress", "The same request is being worked on.", _LATER, 10),
    InvalidName: _UNREADABLE,
    InvalidJobSpec: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-job", "The job cannot be run as it is.", _INVALID),
    JobRefused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "job-refused", "The training service refuses the job."),
    InvalidEvent: Kind(HTTPStatus.BAD_REQUEST, "invalid-event", "The event cannot be understood."),
    CopyUnderWay: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "copy-under-way", "Files are being copied.", _LATER, 5),
    StorageUnavailable: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "storage-unavailable", "Storage does not answer.", _LATER, 10
    ),
    TrainingServiceUnavailable: Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "training-unavailable", "The training service does not answer.", _LATER, 30
    ),
    ComputeRefused: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "compute-refused", "The training service refuses the compute."
    ),
    AppNotAllowed: Kind(
        HTTPStatus.BAD_GATEWAY,
        "app-not-allowed",
        "The app may not do this.",
        "Have an owner of the subscription give the app's identity the role that `detail` names.",
    ),
    StorageError: Kind(HTTPStatus.BAD_GATEWAY, "storage-failed", "Storage refused what Kedja asked."),
    TrainingServiceError: Kind(
        HTTPStatus.BAD_GATEWAY, "training-failed", "The training service refused what Kedja asked."
    ),
    InvalidSettings: Kind(
        HTTPStatus.INTERNAL_SERVER_ERROR, "not-configured", "Kedja is not set up.", "Look into the service's log."
    ),
}
"""Each error is told as the nearest of its classes is."""


def kind_of(error: KedjaError) -> Kind:
    """Return how an error is told."""
    return next((KINDS[known] for known in type(error).__mro__ if known in KINDS), _INTERNAL)


def problem(kind: Kind, detail: str, problems: list[KeyProblem] | None = None) -> ProblemView:
    return ProblemView(
        type=f"{TYPE_PREFIX}{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        what_to_do=kind.what_to_do,
        problems=problems,
    )


def too_large(limit: int) -> Response:
    """Answer a body that is too long."""
    kind = Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too long.")
    return problem(kind, f"A body has at most {limit} bytes. Files belong into storage.").response()


def internal_error() -> Response:
    """Answer a request that met an error of Kedja's own. What it was stands in the log."""
    return problem(_INTERNAL, "An unexpected error; the log has its details.").response()


def answers(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's problems, those of every route included."""
    every = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    return {int(status): {"description": status.phrase, "content": content} for status in sorted({*every, *statuses})}


def install(app: FastAPI) -> None:
    """Answer each error that leaves a route with its problem."""
    app.add_exception_handler(KedjaError, _on_kedja_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_kedja_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, KedjaError):
        raise TypeError(f"{type(error).__name__} is none of Kedja's errors.")
    return response_of(error)


def response_of(error: KedjaError) -> Response:
    """Return the problem that an error is told as."""
    kind = kind_of(error)
    headers = {}
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind.retry_after is not None:
        wanted = error.retry_after if isinstance(error, TrainingServiceUnavailable) else None
        headers["Retry-After"] = str(math.ceil(wanted or kind.retry_after))
    if kind.status is HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("A request failed: %s", error, exc_info=error)
        return problem(kind, "The log has the details.").response()
    found = None
    if isinstance(error, InvalidJobSpec):
        found = [
            KeyProblem(key="", message=one)
            if isinstance(one, str)
            else KeyProblem(key=one.key, message=one.message, line=one.line, column=one.column)
            for one in error.problems
        ]
    return problem(kind, str(error), found).response(headers)


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses by itself: 404, 405, a body that is no JSON."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error).__name__} is no HTTPException.")
    status = HTTPStatus(error.status_code)
    kind = Kind(status, status.phrase.lower().replace(" ", "-"), f"{status.phrase}.")
    detail = {
        HTTPStatus.NOT_FOUND: "There is nothing at this address. GET /api/openapi.json lists what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address takes other methods. GET /api/openapi.json lists them.",
    }.get(status, error.detail)
    return problem(kind, detail).response(error.headers)


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"{type(error).__name__} is no RequestValidationError.")
    found = [
        KeyProblem(key=".".join(map(str, one["loc"])), message=str(one["msg"]))  # never the value: it may be a secret
        for one in error.errors()
    ]
    detail = "; ".join(f"{one.key}: {one.message}" for one in found)
    return problem(_UNREADABLE, detail, found).response()
