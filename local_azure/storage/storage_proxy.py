"""The public blob endpoint: Azurite, plus the events that it lacks.

Requests and responses are forwarded unchanged and streamed, so that a blob of any size needs only a few hundred
kilobytes of memory. Requests that changed a blob raise an event on the local Event Grid. Accounts are named in the path
(`http://127.0.0.1:10000/devstoreaccount1/…`), as with `UseDevelopmentStorage=true`.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from local_azure.credentials import TOPIC_KEY
from local_azure.errors import LocalAzureError
from local_azure.http_server import RAW_HEADERS, address_of, listen, serve
from local_azure.storage.blob_change import BlobChange, BlobOperation, operation_of
from local_azure.storage.blob_change_publisher import BlobChangePublisher

# Headers about the connection, not the message (RFC 9110, 7.6.1), and `Expect: 100-continue`, which is answered here.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_FLUSH = 8.0  # seconds at shutdown for events that are not published yet


class StorageProxy:
    """ASGI app that forwards requests to `upstream` and calls `on_change` for each changed blob."""

    def __init__(self, upstream: str, http: httpx.AsyncClient, on_change: Callable[[BlobChange], None]) -> None:
        self._upstream = httpx.URL(upstream)
        self._http = http
        self._on_change = on_change
        self._last_sequence = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request and its response."""
        request = Request(scope, receive)
        try:
            answer = await self._http.send(self._forwarded(request), stream=True)
        except ClientDisconnect:
            return
        except httpx.TransportError as error:
            await _unavailable(self._upstream, error)(scope, receive, send)
            return
        async with contextlib.aclosing(answer):
            operation = operation_of(request.method, _raw_path(scope), scope["query_string"].decode(), request.headers)
            if operation is not None and answer.is_success:
                self._on_change(self._change(operation, answer))
            await _send_response(answer, send)

    def _forwarded(self, request: Request) -> httpx.Request:
        scope = request.scope
        target = _raw_path(scope).encode() + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        sent = scope.get("extensions", {}).get(RAW_HEADERS, scope["headers"])
        has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
        return httpx.Request(
            request.method,
            self._upstream,
            headers=_end_to_end(sent),
            content=request.stream() if has_body else None,
            extensions={"target": target, "timeout": self._http.timeout.as_dict()},
        )

    def _change(self, operation: BlobOperation, answer: httpx.Response) -> BlobChange:
        # Ascending, also across restarts unless the clock was set back.
        self._last_sequence = max(self._last_sequence + 1, time.time_ns())
        return BlobChange(
            operation=operation,
            request_id=answer.headers.get("x-ms-request-id", ""),
            etag=answer.headers.get("etag"),
            time=datetime.now(UTC),
            sequencer=f"{self._last_sequence:032X}",
            copy_pending=answer.headers.get("x-ms-copy-status") == "pending",
        )


def upstream_client() -> httpx.AsyncClient:
    """Return the client that forwards requests. It keeps few idle connections, as each request checks all of them."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=3)
    # No limit for uploads and copies; a failed connection shows soon.
    return httpx.AsyncClient(timeout=httpx.Timeout(None, connect=5), limits=limits, trust_env=False)


def create_app(
    *, upstream: str, event_grid: str, key: str, public_endpoint: str, middleware: Sequence[Middleware] = ()
) -> Starlette:
    """Return the proxy as an ASGI app. `upstream`, `event_grid` and `public_endpoint` are URLs without a path."""
    http = upstream_client()
    to_event_grid = httpx.AsyncClient(timeout=30, trust_env=False)
    publisher = BlobChangePublisher(
        topic_url=f"{event_grid.rstrip('/')}/topics/storage/api/events",
        topic_key=key,
        public_endpoint=public_endpoint,
        upstream=upstream,
        http=to_event_grid,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        publishing = asyncio.create_task(publisher.run())
        try:
            yield
        finally:
            await publisher.flush(_FLUSH)
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await http.aclose()
            await to_event_grid.aclose()
            await publisher.close()

    proxy = StorageProxy(upstream, http, publisher.add)
    return Starlette(routes=[Mount("/", app=proxy)], middleware=list(middleware), lifespan=lifespan)


async def _send_response(answer: httpx.Response, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": _end_to_end(answer.headers.raw),
        }
    )
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _end_to_end(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def _raw_path(scope: Scope) -> str:
    """Return the path as sent, percent-encoded: it is part of the signature."""
    return bytes(scope["raw_path"]).decode("ascii")


def _unavailable(upstream: httpx.URL, error: Exception) -> Response:
    """Return storage's own error for a temporary failure, which every client retries."""
    message = escape(f"Azurite at {upstream} does not answer: {error!r}")
    xml = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code><Message>{message}</Message></Error>'
    return Response(xml, status_code=503, media_type="application/xml", headers={"x-ms-error-code": "ServerBusy"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the proxy until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local_azure.storage.storage_proxy", description="Azurite, with events"
    )
    parser.add_argument("--port", type=int, default=10000, help="port for clients; 0 takes a free one")
    parser.add_argument("--upstream", default="http://127.0.0.1:20000", help="Azurite's blob service")
    parser.add_argument("--event-grid", default="http://127.0.0.1:6500", help="the local Event Grid")
    parser.add_argument("--key", default=TOPIC_KEY, help="access key of its topics")
    parser.add_argument("--public-url", help="the URL in events (default: that of the port)")
    parser.add_argument("--page", action="append", default=[], help="origin of a web page that may upload (repeatable)")
    options = parser.parse_args(arguments)
    try:
        listener = listen(options.port)
    except LocalAzureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    app = create_app(
        upstream=options.upstream,
        event_grid=options.event_grid,
        key=options.key,
        public_endpoint=options.public_url or address_of(listener),
    )
    serve(app, listener, "Blob storage", options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
