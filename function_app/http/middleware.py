"""Middleware for every request to the HTTP API."""

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from function_app.http.problems import internal_error, too_large

logger = logging.getLogger(__name__)

BODY_LIMIT = 1 << 20
"""Max size of a request's body in bytes: Event Grid sends events up to this size, and nothing else is longer."""

_HEADERS = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}
"""Default headers of every response."""


class BodyLimitAndErrors:
    """ASGI middleware: limits the size of bodies, and turns an unexpected error into a response.

    Without it, the Functions host would give callers no details of an exception.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                said = {name.lower() for name, _ in message["headers"]}
                more = ((name, value) for name, value in _HEADERS.items() if name not in said)
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            body = await self._body(scope, receive)
            if body is None:
                await too_large(self._limit)(scope, receive, send_on)
            else:
                first = {"type": "http.request", "body": body, "more_body": False}
                await self._app(scope, replayed(first, receive), send_on)
        except Exception:  # outermost layer: the caller gets a response to any error
            if begun:
                raise
            logger.exception("%s %s failed.", scope["method"], scope["path"])
            await internal_error()(scope, receive, send_on)

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        """Return the whole body, or None if it is too long."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            return None
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def replayed(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that yields a message that was already received, then the following messages."""
    messages = [message]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
