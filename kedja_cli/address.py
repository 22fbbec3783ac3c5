"""Checks of addresses: no secret is sent to another machine without TLS."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from kedja_cli.errors import CommandError, Exit

LOCAL = "http://127.0.0.1:7071"
"""The address of the local stack's HTTP API."""


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_service(url: str) -> None:
    """Check the address of the service.

    Raises:
        CommandError: If it is not an address, or a key or token would be sent without TLS.
    """
    parts = _parts(url)
    if parts is None:
        raise CommandError(
            f"--url (KEDJA_URL) is {url!r}, which is not the address of a service.",
            f"Write it with its scheme, such as {LOCAL} or https://<app>.azurewebsites.net.",
            code=Exit.USAGE,
        )
    if parts.scheme == "http":
        _check_plain("--url (KEDJA_URL)", url, "a key or token")


def check_storage(url: str) -> None:
    """Check the address of a storage account's blobs.

    Raises:
        CommandError: If a token or signed link would be sent without TLS.
    """
    if urlsplit(url).scheme == "http":
        _check_plain("--storage (KEDJA_STORAGE)", url, "a token or signed link")


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # invalid brackets or port
        return None
    return parts if is_address else None


def _check_plain(option: str, url: str, secret: str) -> None:
    if not is_loopback(url):
        raise CommandError(
            f"{option} leads to http://{urlsplit(url).hostname}: without TLS, others could read {secret}.",
            "Write https://. Plain http is allowed only to this machine (localhost, 127.0.0.1). To reach another "
            "machine by http, open a tunnel, such as ssh -L 7071:127.0.0.1:7071, and use its local end.",
            code=Exit.USAGE,
        )
