"""Addresses that a job.yaml may contain: hosts of the public internet, by https only.

An environment is built outside the job, by the workspace, so its addresses are resolved there. These checks protect
machines that only the workspace's network can reach, such as 169.254.169.254, which issues tokens. A name in the public
DNS may still point to a private address: only an outbound rule of the network protects against that.
"""

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_PRIVATE_TLDS = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "test",
    "invalid",
    "arpa",
)
"""Top-level domains that do not exist in the public DNS."""


def host_problem(host: str) -> str | None:
    """Return why a host is not one of the public internet, or None if it may be."""
    name = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return "is a numeric address; name a host of the public internet"
    if not _NAME.fullmatch(name) or name.rpartition(".")[2] in _PRIVATE_TLDS:
        return "is not a host of the public internet"
    return None


def url_problem(url: str) -> str | None:
    """Return why an address is refused, or None if it may be used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme != "https":
        return "is not https"
    if parts.username is not None or parts.password is not None:
        return "contains a user or a password, which everyone who sees the job would see"
    if port not in (None, 443):
        return "names a port"
    return host_problem(host or "")
