"""The guard of every local port: it admits programs on this machine and the stack's own pages, no other.

Browsers send requests of any page to 127.0.0.1 too, and most local services need no secret, so without a guard a
foreign page could submit code to run. Three headers that a page cannot change show where a request comes from:

- `Host` must be a loopback name. Otherwise the page's host name resolves to this machine (DNS rebinding), and the
  browser treats the service as part of that page.
- `Origin`, if there is one, must be a page of the stack. Browsers send it with every request that may change state.
- Without `Origin`, `Sec-Fetch-Site` must be absent (no browser), `none` or `same-origin`. Following a link to a page
  (a top-level GET) is allowed from anywhere.

`storage/azurite_guard.cjs` applies the same rules in Azurite's process; both are tested with the same cases, in
`tests/unit/local_azure/port_guard_cases.json`.
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
    """Return the origins of a page served on this port of the loopback interface."""
    suffix = "" if port == _HTTP_PORT else f":{port}"
    return frozenset(f"http://{host}{suffix}" for host in ("127.0.0.1", "localhost"))


def refusal(method: str, headers: Iterable[tuple[str, str]], pages: Collection[str]) -> str | None:
    """Return why a request is refused, or None if it is allowed.

    Args:
        method: the request's method, in upper case.
        headers: all its headers as they were sent, including repeated ones.
        pages: the origins of the pages that may send requests.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value.strip())
    hosts = found.get("host", [])
    if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
        return (
            f"The request is for the host {_quote_values(hosts)}. Only this machine's own names are served: "
            "use 127.0.0.1 or localhost in the address."
        )
    if origins := found.get("origin", []):
        if len(origins) == 1 and origins[0] in pages:
            return None
        return f"A page of {_quote_values(origins)} sent this. Only pages of the local stack may call this port."
    sites = found.get("sec-fetch-site", ["none"])
    if len(sites) == 1 and sites[0] in ("none", "same-origin"):
        return None
    if method == "GET" and all(found.get(name) == values for name, values in _NAVIGATION.items()):
        return None
    return (
        f"A page of another site sent this (Sec-Fetch-Site: {_quote_values(sites)}). "
        "Only a link to a page may lead here."
    )


def _quote_values(values: list[str]) -> str:
    return ", ".join(f"{value[:100]!a}" for value in values[:3]) or "(none)"


class PortGuard:
    """ASGI middleware: answers 403 to a refused request, and closes every WebSocket: nothing uses them."""

    def __init__(self, app: ASGIApp, pages: Collection[str] = ()) -> None:
        self._app = app
        self._pages = frozenset(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request to the app, or refuse it."""
        if scope["type"] == "http":
            headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
            reason = refusal(scope["method"], headers, self._pages)
            if reason is not None:
                # The body stays unread, so the connection cannot be reused.
                answer = PlainTextResponse(f"{reason}\n", status_code=403, headers={"connection": "close"})
                await answer(scope, receive, send)
                return
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await self._app(scope, receive, send)


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP protocol with the guard, for servers that start uvicorn themselves (`uvicorn --http`).

    Only the server's own pages may send requests.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Learn the port from the connection."""
        super().connection_made(transport)
        port = self.server[1] if self.server else None
        self.app = PortGuard(self.app, page_origins(port) if port else ())
