"""Middleware for idempotency keys: a POST with a key is processed once, and its response is stored."""

import base64
from collections.abc import Callable
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from function_app.errors import KedjaError, Unauthenticated
from function_app.http.auth import AuthContext
from function_app.http.callers import Caller
from function_app.http.idempotency import HEADER, Claim, IdempotencyKeys, StoredResponse, effect
from function_app.http.middleware import replayed
from function_app.http.problems import response_of


class Idempotency:
    """ASGI middleware, inside `BodyLimitAndErrors`: the first message contains the whole body."""

    def __init__(self, app: ASGIApp, access: Callable[[], AuthContext]) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process a request, or repeat its stored response."""
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        request = await receive()
        body: bytes = request.get("body", b"")
        target = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        try:
            found = await run_in_threadpool(self._claim, scope, key, target, body)
        except Unauthenticated:
            found = None  # the route answers this error itself
        except KedjaError as error:
            await response_of(error)(scope, receive, send)
            return
        if isinstance(found, StoredResponse):
            await _again(found, send)
        elif found is None:
            await self._app(scope, replayed(request, receive), send)
        else:
            await self._once(found, target, scope, replayed(request, receive), send)

    def _claim(self, scope: Scope, key: str, target: str, body: bytes) -> Claim | StoredResponse:
        caller = self._access().caller(Request(scope), key_in_query=scope["path"] == "/api/events")
        return self._keys().claim(f"{caller.name} {caller.role}", key, scope["method"], target, body)

    async def _once(self, claim: Claim, target: str, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = 500, dict[str, str](), bytearray()

        async def send_on(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], dict(Headers(raw=message["headers"]))
            else:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    # Store it before sending it: a caller who never receives it repeats the request.
                    await run_in_threadpool(self._keep, claim, status, headers, bytes(body), target)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except BaseException:
            await run_in_threadpool(self._keep, claim, 500, {}, b"", target)
            raise

    def _keep(self, claim: Claim, status: int, headers: dict[str, str], body: bytes, target: str) -> None:
        self._keys().keep(claim, status, headers, body, target=target)

    def _keys(self) -> IdempotencyKeys:
        kedja = self._access().kedja()
        max_runtime = timedelta(seconds=kedja.settings.timing.max_request_runtime)
        return IdempotencyKeys(blobs=kedja.blobs, clock=kedja.clock, max_runtime=max_runtime)


def identity(request: Request, caller: Caller, *content: str) -> str:
    """Return the identity of a request's effect, from its idempotency key, if any, and its content."""
    who, key = f"{caller.name} {caller.role}", request.headers.get(HEADER)
    return effect(who, key, request.method, request.url.path, *content)


async def _again(kept: StoredResponse, send: Send) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in kept.headers.items()]
    body = base64.b64decode(kept.body)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": kept.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
