"""Serves an ASGI app on the loopback interface, with a clear error for a used port and a graceful shutdown."""

import contextlib
import signal
import socket
import sys
from collections.abc import Collection
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local_azure.errors import LocalAzureError
from local_azure.port_guard import PortGuard

RAW_HEADERS = "kedja.raw_headers"
"""Key in a request's `scope["extensions"]`: its headers as they were sent, with the case of their names."""

_HOST = "127.0.0.1"
_KEEP_ALIVE = 120  # seconds; longer than clients keep an idle connection
_SHUTDOWN_TIMEOUT = 10  # seconds for requests in progress


class PortInUse(LocalAzureError):
    """Another process listens on the port."""


class _Connection(h11.Connection):
    """Keeps the names of the current request's headers as they were sent."""

    raw_headers: tuple[tuple[bytes, bytes], ...] = ()

    def next_event(self) -> Any:  # noqa: ANN401 - h11's union of events holds classes that it does not export
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.raw_headers = tuple(event.headers.raw_items())
        return event


class RawHeadersProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which lower-cases header names, plus the names as they were sent.

    Blob metadata is stored under the header's name as the client spelt it, so a proxy needs the original.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*arguments, **options)
        connection = _Connection(h11.SERVER, self.config.h11_max_incomplete_event_size or 64 * 1024)
        app: Any = self.app
        self.conn = connection

        async def with_raw_headers(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {RAW_HEADERS: connection.raw_headers}
            await app(scope, receive, send)

        self.app = with_raw_headers


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the port; 0 takes a free one.

    Raises:
        PortInUse: the port cannot be bound.
    """
    try:
        return socket.create_server((_HOST, port), backlog=512)
    except OSError as error:
        raise PortInUse(
            f"Port {port} cannot be used: {error.strerror}. Stop what listens there, or choose another with --port."
        ) from error


def address_of(listener: socket.socket) -> str:
    """Return the URL that clients use for this socket."""
    return f"http://{_HOST}:{listener.getsockname()[1]}"


def config_for(app: ASGIApp, pages: Collection[str] = ()) -> uvicorn.Config:
    """Return the server's settings: behind the port guard, no access log, no extra headers.

    `pages` are the origins of the web pages that may send requests (see `local_azure.port_guard`).
    """
    return uvicorn.Config(
        PortGuard(app, pages),
        http=RawHeadersProtocol,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )


def serve(app: ASGIApp, listener: socket.socket, name: str, pages: Collection[str] = ()) -> None:
    """Serve until SIGTERM or SIGINT; then finish requests in progress, run the app's shutdown, and return.

    `pages` are as in `config_for`.
    """

    def ignore(_number: int, _frame: FrameType | None) -> None:
        """Ignore the signal that uvicorn raises again after its shutdown, so that the exit status is 0."""

    previous = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    sys.stdout.write(f"{name} listens on {address_of(listener)}\n")
    sys.stdout.flush()
    try:
        with contextlib.closing(listener):
            uvicorn.Server(config_for(app, pages)).run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
