"""The edge: what every request to the HTTP API passes, whatever its route."""

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from function_app.http.problems import internal_error, too_large

logger = logging.getLogger(__name__)

BODY_LIMIT = 1 << 20
"""Bytes of a request's body: Event Grid sends events up to this size, and nothing else is longer."""

_HEADERS = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}
"""What every answer has unless its route says otherwise."""


class Edge:
    """ASGI middleware: holds bodies to a limit, and turns an unexpected error into an answer.

    The answer is made here since the Functions host shows callers nothing of an exception.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
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
        except Exception:  # the process's edge: whatever it is, its caller gets an answer
            if begun:
                raise
            logger.exception("%s %s failed.", scope["method"], scope["path"])
            await internal_error()(scope, receive, send_on)

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        """Return the whole body, or None where it is too long."""
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
    """Return what gives a message that was received already, then what comes after it."""
    messages = [message]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
