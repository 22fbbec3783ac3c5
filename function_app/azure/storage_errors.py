"""Translates errors of storage's client libraries into the port's."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, HttpResponseError

from function_app.errors import BlobNotFound, PreconditionFailed, StorageError, StorageUnavailable

_NO_BLOB = ("BlobNotFound", "CannotVerifyCopySource")
"""https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
_CONFLICTS = ("BlobAlreadyExists", "Lease", "PendingCopyOperation")
"""Prefixes of error codes for writes that another caller got ahead of (a dozen codes are about leases)."""


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Translate errors of the client library into the port's, with the operation (`what`) in the message.

    Raises:
        BlobNotFound: There is no such blob.
        PreconditionFailed: Another caller wrote first, or holds a lease.
        StorageError: Storage refuses the operation.
        StorageUnavailable: There was no answer, or one that is worth a retry.
    """
    try:
        yield
    except HttpResponseError as error:
        code = _code(error)
        message = f"{what}: {code or error.reason or error.message}"
        if error.status_code == 404 and code in _NO_BLOB:  # noqa: PLR2004 - HTTP's own numbers are the clearest names here
            raise BlobNotFound(message) from error
        if error.status_code == 404:  # noqa: PLR2004 - about the container or the account, and not the blob
            raise StorageUnavailable(message) from error
        if error.status_code in (304, 412) or (error.status_code == 409 and code.startswith(_CONFLICTS)):  # noqa: PLR2004
            raise PreconditionFailed(message) from error
        # Without a status, or with a successful one, the response is incomplete.
        if not 400 <= (error.status_code or 0) < 500 or error.status_code in (408, 429):  # noqa: PLR2004
            raise StorageUnavailable(message) from error
        raise StorageError(message) from error
    except AzureError as error:  # no answer at all: refused, reset, timed out
        raise StorageUnavailable(f"{what}: {error.message}") from error


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None) or ""  # a string, or a member of one of the client's enums
    return str(getattr(code, "value", code))
