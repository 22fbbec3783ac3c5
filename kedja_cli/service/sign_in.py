"""Tokens for a service in Azure, of the person who has signed in with `az login`."""

import os
import time
from typing import TYPE_CHECKING

from kedja_cli.errors import CommandError, Exit

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

_EARLY = 300.0
"""Seconds before its expiry that a token is replaced: more than a request with its retries takes."""
_tokens: dict[str, "AccessToken"] = {}


def token(url: str) -> str:
    """Return a token of Entra ID for the app behind Easy Auth, cached until shortly before it expires.

    The token's audience is KEDJA_AUDIENCE, the app's registration (`api://<client id>`), or else the app's address.

    Raises:
        CommandError: If nobody has signed in.
    """
    audience = os.environ.get("KEDJA_AUDIENCE") or url.rstrip("/")
    known = _tokens.get(audience)
    if known is None or known.expires_on - time.time() < _EARLY:
        known = _tokens[audience] = _ask(audience)
    return known.token


def _ask(audience: str) -> "AccessToken":
    # Imported here, since it takes a third of a second, and most calls are local or have a key.
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    try:
        with DefaultAzureCredential(exclude_interactive_browser_credential=True) as credential:
            return credential.get_token(f"{audience}/.default")
    except ClientAuthenticationError as error:
        raise CommandError(
            f"Nobody has signed in for {audience}.",
            "Run `az login`, or give a key of Kedja's in KEDJA_KEY. KEDJA_AUDIENCE names the app's registration "
            "(api://<client id>) if it is not the app's address.",
            code=Exit.NOT_ALLOWED,
        ) from error
