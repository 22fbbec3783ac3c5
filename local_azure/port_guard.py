"""The guard of every local port: it serves this machine's programs and the stack's own pages, and no other web page.

A browser sends what any page asks for to 127.0.0.1 too, and most local services need no secret, so without a guard a
foreign page could queue code to run. Three headers that a page cannot change show where a request comes from:

- `Host` must be a loopback name. Otherwise the page's own host name leads to this machine (DNS rebinding), and the
  browser takes the service for part of that page.
- `Origin`, if there is one, must be a page of the stack. Browsers send it with everything that may change something.
- Without `Origin`, `Sec-Fetch-Site` must be absent (no browser), `none` or `same-origin`. Following a link to a page
  (a top-level GET) is allowed from anywhere.

`azurite_guard.cjs` has the same rules for Azurite's process; `tests/unit/local_azure/port_guard_cases.json` holds both
to the same cases.
"""

import asyncio
import re
from collections.abc import Collection, Iterable
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_LOOPBACK: Final = re.compile(r"(localhost\.?|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
_NAVIGATION: Final = {"sec-fetch-mode": ["navigate"], "sec-fetch-dest": ["document"]}
_HTTP_PORT: Final = 80


def page_origins(port: int) -> frozenset[str]:
    """Return the origins of a page that is served on this port of the loopback interface."""
    suffix = "" if port == _HTTP_PORT else f":{port}"
    return frozenset(f"http://{host}{suffix}" for host in ("127.0.0.1", "localhost"))


def refusal(method: str, headers: Iterable[tuple[str, str]], pages: Collection[str]) -> str | None:
    """Return why a request is not served, or None if it is.

    Args:
        method: the request's method, in capitals.
        headers: all its headers as they were sent, repeated ones too.
        pages: the origins of the pages that may call.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value.strip())
    hosts = found.get("host", [])
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return (
            f"The request is for the host {_shown(hosts)}. Only this machine's own names are served: "
            "use 127.0.0.1 or localhost in the address."
        )
    if origins := found.get("origin", []):
        if len(origins) == 1 and origins[0] in pages:
            return None
        return f"A page of {_shown(origins)} sent this. Only pages of the local stack may call this port."
    sites = found.get("sec-fetch-site", ["none"])
    if len(sites) == 1 and sites[0] in ("none", "same-origin"):
        return None
    if method == "GET" and all(found.get(name) == values for name, values in _NAVIGATION.items()):
        return None
    return f"A page of another site sent this (Sec-Fetch-Site: {_shown(sites)}). Only a link to a page may lead here."


def _shown(values: list[str]) -> str:
    return ", ".join(f"{value[:100]!a}" for value in values[:3]) or "(none)"


class PortGuard:
    """ASGI middleware: answers 403 to requests that `refusal` refuses, and to every WebSocket, as nothing uses any."""

    def __init__(self, app: ASGIApp, pages: Collection[str] = ()) -> None:
        self._app = app
        self._pages = frozenset(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
            reason = refusal(scope["method"], headers, self._pages)
            if reason is not None:
                # Its body stays unread, so the connection cannot be used again.
                answer = PlainTextResponse(f"{reason}\n", status_code=403, headers={"connection": "close"})
                await answer(scope, receive, send)
                return
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await self._app(scope, receive, send)


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP with the guard before the app, for servers that start uvicorn themselves (`uvicorn --http`).

    The pages that may call are those of the server itself.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Learn the port from the connection."""
        super().connection_made(transport)
        port = self.server[1] if self.server else None
        self.app = PortGuard(self.app, page_origins(port) if port else ())
