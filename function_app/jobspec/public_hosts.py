"""Addresses that a job.yaml may name: hosts of the public internet, by https alone.

An environment is built outside of the job, by the workspace, so an address in it is looked up from there. What stands
here keeps it from machines that only the workspace's network sees, such as 169.254.169.254, which gives out tokens.
A name of the public DNS may still point to a private address: only an outbound rule of the network keeps from that.
"""

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "test", "invalid", "arpa")
"""Last parts of names that no public DNS has."""


def host_problem(host: str) -> str | None:
    """Return why a host is not one of the public internet, or None where it may be."""
    name = host.lower().rstrip(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    else:
        return "is an address in numbers; name a host of the public internet"
    if not _NAME.fullmatch(name) or name.rpartition(".")[2] in _INSIDE:
        return "is no host of the public internet"
    return None


def url_problem(url: str) -> str | None:
    """Return why an address is refused, or None where it may be used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme != "https":
        return "is not https"
    if parts.username is not None or parts.password is not None:
        return "holds a user or a password, which everyone who sees the job would see"
    if port not in (None, 443):
        return "names a port"
    return host_problem(host or "")
