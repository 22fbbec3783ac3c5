"""Translates errors of calls to Azure ML into Kedja's: which are final, and which are worth a retry.

An error is final if its whole body could be read and its status is about the request itself, or if the client library
refuses the request before sending it. Everything else may succeed the next time: no answer, an incomplete one, a status
that such a request should not have, or a missing workspace.
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
"""Matches a ResourceNotFound message about the workspace itself, rather than a resource in it."""


class AnswerTooLong(AzureError):
    """The service's response is longer than the limit."""


@contextmanager
def translate_errors(
    what: str,
    *,
    missing: type[TrainingServiceError] = TrainingServiceError,
    refused: type[TrainingServiceError] = TrainingServiceError,
    identity: bool = True,
) -> Iterator[None]:
    """Translate errors of the client libraries into Kedja's.

    `what` is the failed operation, such as "Job 'x' cannot be read". `missing` is raised for 404, `refused` for what
    the service, or the library, will never accept. With `identity`, the call uses Kedja's identity, which can be given
    a role; without it, the address holds its own permission, and a response of 401 or 403 is `refused`.

    Raises:
        AppNotAllowed: The identity is not accepted, or lacks a role.
        TrainingServiceError: `missing` or `refused`.
        TrainingServiceUnavailable: There was no answer, or one that is worth a retry.
        WorkspaceNotFound: The workspace does not exist.
    """
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise TrainingServiceUnavailable(f"{what}: Azure ML cannot be reached ({_public(error)}).") from error
    except HttpResponseError as error:  # including errors of the identity, which are a subclass
        raise _from_answer(what, error, missing, refused, identity=identity) from error
    except DeserializationError as error:
        raise TrainingServiceUnavailable(f"{what}: Azure ML's response cannot be read ({error}).") from error
    except AzureError as error:
        is_refused = isinstance(error, AnswerTooLong) or _is_of_library(error)
        raise (refused if is_refused else TrainingServiceUnavailable)(f"{what}: {_public(error)}") from error


def says_no_workspace(error: HttpResponseError) -> bool:
    """Return whether a 404 is about the subscription, the resource group or the workspace itself."""
    code = getattr(error.error, "code", None)
    return code in _NO_WORKSPACE or (code == "ResourceNotFound" and bool(_OF_WORKSPACE.search(_message(error))))


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
    message = f"{what}: Azure ML answered {status or 'without a status'}, {_message(error)}"
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
    """Return whether the client library refused the request before sending it."""
    exceptions = sys.modules.get("azure.ai.ml.exceptions")  # slow to import; imported already if it raised this
    return exceptions is not None and isinstance(error, exceptions.MlException)


def _denied(what: str, error: HttpResponseError) -> AppNotAllowed | None:
    """Return the error for an identity that is not accepted or lacks a role, or None if that is not the reason."""
    if isinstance(error, ClientAuthenticationError):
        return AppNotAllowed(
            f"{what}: Azure ML does not accept the app's identity ({_message(error)}). "
            "Check AZURE_CLIENT_ID and that the identity still exists."
        )
    if error.status_code == HTTPStatus.FORBIDDEN:
        return AppNotAllowed(
            f"{what}: Azure ML answered 403, {_message(error)} Give the app's identity (AZURE_CLIENT_ID) the role "
            "AzureML Data Scientist on the workspace. A new role takes effect after some minutes."
        )
    return None


def _public(error: AzureError) -> str:
    """Return the error's text without the queries of addresses in it: that of a log is a SAS, a secret."""
    return re.sub(r"\?[^\s'\")]+", "?…", str(error))


def _message(error: HttpResponseError) -> str:
    """Return the service's own message, from the ARM error body `{"error": {"code", "message"}}` if there is one."""
    words = (getattr(error.error, "message", None) or error.message or error.reason or "without a message").strip()
    return words if words.endswith(".") else f"{words}."


def _retry_after(error: HttpResponseError) -> float | None:
    """Return the header Retry-After in seconds; it holds seconds or a date (RFC 9110, 10.2.3)."""
    value = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
