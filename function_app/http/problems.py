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

from function_app.errors import (
    AppNotAllowed,
    Conflict,
    Forbidden,
    Invalid,
    InvalidEvent,
    InvalidSettings,
    KedjaError,
    NotFound,
    Refused,
    StorageError,
    TrainingServiceError,
    Transient,
    Unauthenticated,
)
from function_app.jobspec.problem import InvalidJobSpec
from function_app.models.ownership import OwnerChanged

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


_LATER = "Send the same request again after the time in Retry-After."
_SEE_LOG = "See the service's log, or ask its operator. GET /api/checks reports which parts work."

STATUSES: Mapping[type[KedjaError], HTTPStatus] = {
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Refused: HTTPStatus.CONFLICT,
    Conflict: HTTPStatus.CONFLICT,
    Transient: HTTPStatus.SERVICE_UNAVAILABLE,
    # what the service depends on refused something that the caller cannot change
    StorageError: HTTPStatus.BAD_GATEWAY,
    TrainingServiceError: HTTPStatus.BAD_GATEWAY,
    AppNotAllowed: HTTPStatus.BAD_GATEWAY,
    # the statuses that the standards of these requests name
    InvalidEvent: HTTPStatus.BAD_REQUEST,
    OwnerChanged: HTTPStatus.PRECONDITION_FAILED,
    InvalidSettings: HTTPStatus.INTERNAL_SERVER_ERROR,
    KedjaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of each base of errors, and of the few errors whose status is another; the nearest base counts."""


def problem_type(error: type[KedjaError]) -> ProblemType:
    """Return how a kind of error is reported."""
    status = next(STATUSES[base] for base in error.__mro__ if base in STATUSES)
    advice = error.advice
    if advice is None and error.wait is not None:
        advice = _LATER
    elif advice is None and status is HTTPStatus.INTERNAL_SERVER_ERROR:
        advice = _SEE_LOG
    return ProblemType(status, error.code, error.title, advice, error.wait)


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
    return problem(problem_type(KedjaError), "An unexpected error occurred; the log has its details.").response()


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
    kind = problem_type(type(error))
    headers = {}
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if kind.retry_after is not None:
        wanted = error.retry_after if isinstance(error, Transient) else None
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
    return problem(problem_type(Invalid), detail, found).response()
