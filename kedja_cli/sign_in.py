"""Who calls, where the service is in Azure: the person who has signed in by `az login`."""

import functools
import os

from kedja_cli.errors import CommandError, Exit


@functools.cache
def token(url: str) -> str:
    """Return a token of Entra ID for the app behind Easy Auth.

    KEDJA_AUDIENCE names the app's registration (`api://<client id>`); without it the app's own address is asked for.

    Raises:
        CommandError: where nobody has signed in.
    """
    # Loaded here, since it takes a third of a second and most calls go to this machine or carry a key.
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    audience = os.environ.get("KEDJA_AUDIENCE") or url.rstrip("/")
    try:
        with DefaultAzureCredential(exclude_interactive_browser_credential=True) as credential:
            return credential.get_token(f"{audience}/.default").token
    except ClientAuthenticationError as error:
        raise CommandError(
            f"Nobody has signed in for {audience}.",
            "Run `az login`, or give a key of Kedja's in KEDJA_KEY. KEDJA_AUDIENCE names the app's registration "
            "(api://<client id>) where it is not the app's address.",
            code=Exit.NOT_ALLOWED,
        ) from error
