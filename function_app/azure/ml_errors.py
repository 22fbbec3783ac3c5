"""What calls to Azure ML raise, in Kedja's words: what is a verdict, and what only says "look again".

A verdict is an answer of which the whole error body could be read, with a status that speaks of the request itself, or
what the client library refuses before it asks anything. Everything else may be different the next time: no answer, half
of one, a status that no such request should have, and that the workspace itself is not there.
"""

import email.utils
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from function_app.errors import AppNotAllowed, TrainingServiceError, TrainingServiceUnavailable, WorkspaceNotFound

_VERDICTS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.CONTENT_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_CONTENT,
)
_NOT_ALLOWED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NO_WORKSPACE = ("SubscriptionNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "WorkspaceNotFound")
"""Codes of Azure's resource manager (learn.microsoft.com, "Troubleshoot common Azure deployment errors")."""
_OF_WORKSPACE = re.compile(r"Microsoft\.MachineLearningServices/workspaces/[^/'\"\s]+['\"\s]", re.IGNORECASE)
"""In the words of ResourceNotFound: that the workspace is not there, and not something in it."""


class AnswerTooLong(AzureError):
    """The service's answer is longer than any is read."""


@contextmanager
def service_errors(
    what: str,
    *,
    missing: type[TrainingServiceError] = TrainingServiceError,
    refused: type[TrainingServiceError] = TrainingServiceError,
    identity: bool = True,
) -> Iterator[None]:
    """Turn what the client libraries raise into Kedja's errors.

    `what` is what could not be done, such as "Job 'x' cannot be read". `missing` is for 404, `refused` for what the
    service, or the library before it, will never accept. `identity` says that Kedja's identity asks, which may be given
    a role; else an address does that holds its own permission, and an answer of 401 or 403 is `refused`.
    """
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise TrainingServiceUnavailable(f"{what}: Azure ML cannot be reached ({_public(error)}).") from error
    except HttpResponseError as error:  # with the identity's own, which is one of these
        raise _from_answer(what, error, missing, refused, identity=identity) from error
    except DeserializationError as error:
        raise TrainingServiceUnavailable(f"{what}: Azure ML's answer cannot be read ({error}).") from error
    except AzureError as error:
        is_refused = isinstance(error, AnswerTooLong) or _is_of_library(error)
        raise (refused if is_refused else TrainingServiceUnavailable)(f"{what}: {_public(error)}") from error


def says_no_workspace(error: HttpResponseError) -> bool:
    """Return whether an answer of 404 means the subscription, the resource group or the workspace itself."""
    code = getattr(error.error, "code", None)
    return code in _NO_WORKSPACE or (code == "ResourceNotFound" and bool(_OF_WORKSPACE.search(_words(error))))


def _from_answer(
    what: str,
    error: HttpResponseError,
    missing: type[TrainingServiceError],
    refused: type[TrainingServiceError],
    *,
    identity: bool,
) -> TrainingServiceError:
    if identity and (denied := _denied(what, error)):
        return denied
    status = error.status_code or 0
    message = f"{what}: Azure ML answered {status or 'without a status'}, {_words(error)}"
    if status == HTTPStatus.NOT_FOUND:
        if not says_no_workspace(error):
            return missing(message)
        return WorkspaceNotFound(
            f"{message} Check KEDJA_WORKSPACE_SUBSCRIPTION_ID, KEDJA_WORKSPACE_RESOURCE_GROUP and KEDJA_WORKSPACE_NAME."
        )
    is_not_allowed = isinstance(error, ClientAuthenticationError) or status in _NOT_ALLOWED
    if is_not_allowed or (status in _VERDICTS and error.error is not None):
        return refused(message)
    return TrainingServiceUnavailable(message, _retry_after(error))


def _is_of_library(error: AzureError) -> bool:
    """Return whether the client library refused something before it asked."""
    exceptions = sys.modules.get("azure.ai.ml.exceptions")  # the library is slow to import, and is if it raised this
    return exceptions is not None and isinstance(error, exceptions.MlException)


def _denied(what: str, error: HttpResponseError) -> AppNotAllowed | None:
    """Return the error of an identity that is not accepted or lacks a role, or None where that is not the reason."""
    if isinstance(error, ClientAuthenticationError):
        return AppNotAllowed(
            f"{what}: Azure ML does not accept the app's identity ({_words(error)}). "
            "Check AZURE_CLIENT_ID and that the identity still exists."
        )
    if error.status_code == HTTPStatus.FORBIDDEN:
        return AppNotAllowed(
            f"{what}: Azure ML answered 403, {_words(error)} Give the app's identity (AZURE_CLIENT_ID) the role "
            "AzureML Data Scientist on the workspace. A role that was just given counts after some minutes."
        )
    return None


def _public(error: AzureError) -> str:
    """Return the error's text without the queries of addresses in it: that of a log is a SAS, a secret."""
    return re.sub(r"\?[^\s'\")]+", "?…", str(error))


def _words(error: HttpResponseError) -> str:
    """Return what the service itself said, of the ARM error body `{"error": {"code", "message"}}` where it is one."""
    words = (getattr(error.error, "message", None) or error.message or error.reason or "without words").strip()
    return words if words.endswith(".") else f"{words}."


def _retry_after(error: HttpResponseError) -> float | None:
    """Return the seconds of the header Retry-After, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
