"""Problems: the responses to failed requests (RFC 9457, `application/problem+json`)."""

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

from function_app.domain.receipt import IllegalTransition
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
from function_app.store.snapshots import CopyPending, SourceChanged

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:kedja:problem:"


class KeyProblem(BaseModel):
    """One error in a request or a job.yaml. `line` and `column` count from 1."""

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
        """Return the problem as a response."""
        return JSONResponse(
            self.model_dump(exclude_none=True), self.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
        )


@frozen
class ProblemType:
    """How a kind of error is reported. `retry_after` is in seconds, or None if a retry cannot succeed."""

    status: HTTPStatus
    name: str
    title: str
    what_to_do: str | None = None
    retry_after: float | None = None


_INVALID = "Fix the errors in `problems` and send it again."
_LATER = "Send the same request again after the time in Retry-After."
_UNREADABLE = ProblemType(
    HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request has an invalid value.", _INVALID
)
_INTERNAL = ProblemType(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "Kedja failed.",
    "See the service's log, or ask its operator. GET /api/checks reports which parts work.",
)

KINDS: Mapping[type[KedjaError], ProblemType] = {
    Unauthenticated: ProblemType(HTTPStatus.UNAUTHORIZED, "unauthenticated", "The caller is unknown."),
    RoleMissing: ProblemType(
        HTTPStatus.FORBIDDEN, "role-missing", "The caller may not do this.", "Ask Kedja's operator for the role."
    ),
    NotFound: ProblemType(HTTPStatus.NOT_FOUND, "not-found", "Not found."),
    JobNotFound: ProblemType(HTTPStatus.NOT_FOUND, "not-found", "Not found."),
    Refused: ProblemType(HTTPStatus.CONFLICT, "refused", "The current state does not allow this."),
    ModelNotShared: ProblemType(HTTPStatus.CONFLICT, "model-not-shared", "The model belongs to another experiment."),
    OwnerChanged: ProblemType(
        HTTPStatus.PRECONDITION_FAILED,
        "changed",
        "It has changed since it was read.",
        "Read it again, then send your change again.",
    ),
    IllegalTransition: ProblemType(HTTPStatus.CONFLICT, "refused", "The current state does not allow this."),
    JobConflict: ProblemType(HTTPStatus.CONFLICT, "job-conflict", "Another job has this name."),
    BeingDeleted: ProblemType(HTTPStatus.CONFLICT, "being-deleted", "The experiment is being deleted.", _LATER, 300),
    ReceiptBusy: ProblemType(HTTPStatus.CONFLICT, "busy", "The receipt is being written.", _LATER, 10),
    SourceChanged: ProblemType(
        HTTPStatus.CONFLICT, "changed-meanwhile", "Files changed during the request.", _LATER, 10
    ),
    InvalidToken: _UNREADABLE,
    InvalidCursor: _UNREADABLE,
    InvalidKey: _UNREADABLE,
    KeyReused: ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "The idempotency key belongs to another request.",
        "Use a new key for each new request.",
    ),
    KeyInProgress: ProblemType(HTTPStatus.CONFLICT, "in-progress", "The same request is in progress.", _LATER, 10),
    InvalidName: _UNREADABLE,
    InvalidJobSpec: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-job", "The job is not valid.", _INVALID),
    JobRefused: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "job-refused", "The training service refuses the job."),
    InvalidEvent: ProblemType(HTTPStatus.BAD_REQUEST, "invalid-event", "The event is malformed."),
    CopyPending: ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "copy-under-way", "Files are being copied.", _LATER, 5),
    StorageUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "storage-unavailable", "Storage is unavailable.", _LATER, 10
    ),
    TrainingServiceUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "training-unavailable", "The training service is unavailable.", _LATER, 30
    ),
    ComputeRefused: ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY, "compute-refused", "The training service refuses the compute."
    ),
    AppNotAllowed: ProblemType(
        HTTPStatus.BAD_GATEWAY,
        "app-not-allowed",
        "The app may not do this.",
        "Ask an owner of the subscription to assign the app's identity the role in `detail`.",
    ),
    StorageError: ProblemType(HTTPStatus.BAD_GATEWAY, "storage-failed", "Storage rejected Kedja's request."),
    TrainingServiceError: ProblemType(
        HTTPStatus.BAD_GATEWAY, "training-failed", "The training service rejected Kedja's request."
    ),
    InvalidSettings: ProblemType(
        HTTPStatus.INTERNAL_SERVER_ERROR, "not-configured", "Kedja is not configured.", "See the service's log."
    ),
}
"""How each error is reported. An error that is not listed is reported as its nearest base class."""


def problem_type(error: KedjaError) -> ProblemType:
    """Return how an error is reported."""
    return next((KINDS[known] for known in type(error).__mro__ if known in KINDS), _INTERNAL)


def problem(kind: ProblemType, detail: str, problems: list[KeyProblem] | None = None) -> ProblemView:
    """Return a problem of this kind."""
    return ProblemView(
        type=f"{TYPE_PREFIX}{kind.name}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        what_to_do=kind.what_to_do,
        problems=problems,
    )


def too_large(limit: int) -> Response:
    """Return the response to a body that is too long."""
    kind = ProblemType(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The body is too long.")
    return problem(kind, f"A body may have at most {limit} bytes. Upload files to storage instead.").response()


def internal_error() -> Response:
    """Return the response to an unexpected error. Its details are only in the log."""
    return problem(_INTERNAL, "An unexpected error occurred; the log has its details.").response()


def problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's problems, including those of every route."""
    every = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    return {int(status): {"description": status.phrase, "content": content} for status in sorted({*every, *statuses})}


def register_handlers(app: FastAPI) -> None:
    """Have the app answer each error that a route raises with a problem."""
    app.add_exception_handler(KedjaError, _on_kedja_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_kedja_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, KedjaError):
        raise TypeError(f"{type(error).__name__} is not a KedjaError.")
    return response_of(error)


def response_of(error: KedjaError) -> Response:
    """Return the problem response for an error."""
    kind = problem_type(error)
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
    """Answer a request that the framework rejects: 404, 405, a body that is not JSON."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error).__name__} is not an HTTPException.")
    status = HTTPStatus(error.status_code)
    kind = ProblemType(status, status.phrase.lower().replace(" ", "-"), f"{status.phrase}.")
    detail = {
        HTTPStatus.NOT_FOUND: "There is nothing at this path. GET /api/openapi.json lists all paths.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path has no such method. GET /api/openapi.json lists its methods.",
    }.get(status, error.detail)
    return problem(kind, detail).response(error.headers)


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"{type(error).__name__} is not a RequestValidationError.")
    found = [
        KeyProblem(key=".".join(map(str, one["loc"])), message=str(one["msg"]))  # never the value: it may be a secret
        for one in error.errors()
    ]
    detail = "; ".join(f"{one.key}: {one.message}" for one in found)
    return problem(_UNREADABLE, detail, found).response()
