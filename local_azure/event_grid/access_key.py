"""Checks that a publisher has the topic's access key: the key itself, or a token signed with it.

Formats: https://learn.microsoft.com/azure/event-grid/authenticate-with-access-keys-shared-access-signatures.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from dateutil import parser as dates

from local_azure.errors import LocalAzureError


class Unauthorized(LocalAzureError):
    """The request has neither the key nor a valid token."""


def check(headers: Mapping[str, str], path: str, key: str, now: datetime) -> None:
    """Check the key or the signed token of a request to `path`. Lookup in `headers` must ignore case.

    Raises:
        Unauthorized: both are missing, or one is wrong; the message says which.
    """
    if "aeg-sas-key" in headers:
        if not hmac.compare_digest(headers["aeg-sas-key"].encode(), key.encode()):
            raise Unauthorized("The key in the header aeg-sas-key is not the key of this topic.")
    elif "aeg-sas-token" in headers:
        _check_token(headers["aeg-sas-token"], path, key, now)
    else:
        raise Unauthorized("The request has neither the header aeg-sas-key nor aeg-sas-token; send one of them.")


def _check_token(token: str, path: str, key: str, now: datetime) -> None:
    signed, _, signature = token.rpartition("&s=")
    expected = base64.b64encode(hmac.digest(base64.b64decode(key), signed.encode(), hashlib.sha256))
    if not hmac.compare_digest(unquote(signature).encode(), expected):
        raise Unauthorized("The signature in aeg-sas-token was not made with the key of this topic.")
    fields = dict(part.partition("=")[::2] for part in signed.split("&"))
    resource = unquote(fields.get("r", ""))
    if urlsplit(resource).path.rstrip("/") != path.rstrip("/"):
        raise Unauthorized(f"The token in aeg-sas-token was made for {resource}, not for {path}.")
    try:
        expires = dates.parse(unquote(fields.get("e", "")))
    except (ValueError, OverflowError) as error:
        raise Unauthorized(f"The token in aeg-sas-token has no valid expiry time: {fields.get('e')!r}.") from error
    if (expires if expires.tzinfo else expires.replace(tzinfo=UTC)) <= now:
        raise Unauthorized(f"The token in aeg-sas-token has expired: {expires}.")
