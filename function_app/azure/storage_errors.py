"""What storage's client libraries raise, in the words of the port."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, HttpResponseError

from function_app.errors import BlobNotFound, PreconditionFailed, StorageError, StorageUnavailable

_NO_BLOB = ("BlobNotFound", "CannotVerifyCopySource")
"""https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
_CONFLICTS = ("BlobAlreadyExists", "Lease", "PendingCopyOperation")
"""How the error codes begin that say that someone else was faster (there are a dozen about leases)."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client library's errors into the port's, with what was being done in the message."""
    try:
        yield
    except HttpResponseError as error:
        code = _code(error)
        message = f"{what}: {code or error.reason or error.message}"
        if error.status_code == 404 and code in _NO_BLOB:  # noqa: PLR2004 - HTTP's own numbers are the clearest names here
            raise BlobNotFound(message) from error
        if error.status_code == 404:  # noqa: PLR2004 - the container's or the account's: nothing is said about the blob
            raise StorageUnavailable(message) from error
        if error.status_code in (304, 412) or (error.status_code == 409 and code.startswith(_CONFLICTS)):  # noqa: PLR2004
            raise PreconditionFailed(message) from error
        # Without a status, or with one of success: half an answer, which says nothing.
        if not 400 <= (error.status_code or 0) < 500 or error.status_code in (408, 429):  # noqa: PLR2004
            raise StorageUnavailable(message) from error
        raise StorageError(message) from error
    except AzureError as error:  # no answer at all: refused, reset, timed out
        raise StorageUnavailable(f"{what}: {error.message}") from error


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or ""  # text, or a member of one of the client's enums
    return str(getattr(code, "value", code))
