"""Doors: what stands before storage, registry, training service and Event Grid, and lets faults in."""

import asyncio
import base64
import contextlib
import json
import logging
import random
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import httpx
import uvicorn
from attrs import define, field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local_azure.http_server import RawHeadersProtocol, config_for
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.schedule import TAG, Fault, Place, Schedule, Side
from tests.end_to_end.faults.training import SHOWN_WITHOUT_TAGS

USER = "a user"
"""The user agent of the harness's own requests, which nothing befalls."""

_TRANSPORT = "kedja.transport"
_CONDITIONAL = ("409", "412")
_TIMES = re.compile(rb"<(Last-Modified|Creation-Time)>([^<]+)</")

Kill = Callable[[str, int], Awaitable[None]]
"""Kills the part of the system that a fault names, or whoever uses this port."""


class Protocol(RawHeadersProtocol):
    """HTTP that lets the app cut the connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(*arguments, **options)
        app: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_TRANSPORT] = self.transport
            await app(scope, receive, send)

        self.app = with_transport


@define
class Gate:
    """Keeps everyone out of storage for a while."""

    _open: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        await self._open.wait()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


@define(kw_only=True)
class Door:
    """ASGI middleware. `place` None only waits at the gate; `timeout` is how long a request hangs that times out."""

    app: ASGIApp
    board: Board
    place: Place | None
    kill: Kill
    gate: Gate
    timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.place in (None, Place.BLOBS, Place.QUEUES):
            await self.gate.passed()
        request = Request(scope)
        if self.place is None or USER in request.headers.get("user-agent", ""):
            await self.app(scope, receive, send)
            return
        text = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        text += request.headers.get("x-ms-copy-source", "")
        if self.place is not Place.BLOBS:  # whose names say it all, and whose bodies may be long
            body = await Request(scope, receive).body()
            receive = _replay(body)
            text += self._words(body)
        schedule = self.board.schedule_in(text)
        if schedule is None:
            await self.app(scope, receive, send)
            return
        what = f"{request.method} {text[:160]}"
        fault = self.board.meet(schedule, self.place, what)
        answer = _Answer(schedule.skew if self.place is Place.BLOBS else 0)
        if fault is None or fault.side is Side.AFTER or (fault.kind in _CONDITIONAL and _creates(request)):
            # That a blob is there already is true only where an earlier try has made it, whose answer was lost.
            await self.app(scope, receive, answer.take)
            if self.place is Place.MLFLOW and "runs/create" in what:
                self.board.learn(schedule, answer.body.decode(errors="replace"))
        if fault is None:
            await answer.give(send)
            return
        await self._strike(schedule, fault, what, scope, send, answer)

    def _words(self, body: bytes) -> str:
        text = body.decode(errors="replace")
        if self.place is not Place.QUEUES:
            return text
        found = re.search(r"<MessageText>([A-Za-z0-9+/=]+)</MessageText>", text)
        return _decoded(found[1]) if found else ""

    def _kind(self, fault: Fault, scope: Scope) -> str:
        """Return what befalls the request: something as bad, if a fault is none that it could meet."""
        is_read = scope["method"] in ("GET", "HEAD")
        if fault.kind in _CONDITIONAL and (self.place is not Place.BLOBS or is_read):
            return "503"  # conflicts are for writes of blobs
        if fault.kind == "404" and self.place is Place.MLFLOW:
            return "503"  # this registry says so of models that are not there, and of nothing else
        if fault.kind == "half" and fault.side is Side.BEFORE:
            return "cut"  # there is no answer yet
        return fault.kind

    async def _strike(
        self, schedule: Schedule, fault: Fault, what: str, scope: Scope, send: Send, answer: "_Answer"
    ) -> None:
        kind = self._kind(fault, scope)
        self.board.note(schedule, f"{self.place}: {kind}", what, side=fault.side)
        if fault.is_kill:
            await self.kill(kind, scope["client"][1])
        elif kind == "half":
            await answer.give(send, is_half=True)
        elif kind == TAG:
            await Response(status_code=SHOWN_WITHOUT_TAGS)(scope, _replay(b""), send)
            return
        elif kind == "timeout":
            await asyncio.sleep(self.timeout)
        elif kind != "cut":
            await _refusal(int(kind), scope)(scope, _replay(b""), send)
            return
        scope[_TRANSPORT].abort()


@define
class _Answer:
    """An answer on its way back, whole, with its times moved by `skew` seconds."""

    skew: int
    start: Message = field(factory=dict, init=False)
    body: bytearray = field(factory=bytearray, init=False)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def give(self, send: Send, *, is_half: bool = False) -> None:
        """Send the answer, or of its body the first half only."""
        if not self.start:  # whoever asked was killed meanwhile
            return
        headers = list(self.start["headers"])
        body = bytes(self.body)
        if self.skew:
            headers = [
                (name, self._moved(value) if name.lower() in (b"date", b"last-modified") else value)
                for name, value in headers
            ]
            if body.lstrip(b"\xef\xbb\xbf").startswith(b"<?xml"):
                body = _TIMES.sub(lambda m: b"<" + m[1] + b">" + self._moved(m[2]) + b"</", body)
                headers = [
                    (name, str(len(body)).encode() if name.lower() == b"content-length" else value)
                    for name, value in headers
                ]
        await send({**self.start, "headers": headers})
        sent = body[: len(body) // 2] if is_half else body
        await send({"type": "http.response.body", "body": sent, "more_body": is_half})

    def _moved(self, value: bytes) -> bytes:
        time: datetime = parsedate_to_datetime(value.decode()) + timedelta(seconds=self.skew)
        return format_datetime(time, usegmt=True).encode()


@define(kw_only=True)
class EventDoor:
    """ASGI app before Event Grid: loses, repeats, delays and shuffles events of storage and of the workspace."""

    app: ASGIApp
    upstream: str
    board: Board
    http: httpx.AsyncClient
    _late: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_event = scope["type"] == "http" and re.fullmatch(r"/topics/(storage|workspace)/api/events", scope["path"])
        if not is_event:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        events = json.loads(await request.body())
        headers = {name: value for name, value in request.headers.items() if name in ("aeg-sas-key", "content-type")}
        url = f"{self.upstream}{scope['path']}?{scope['query_string'].decode()}"
        for event in events:
            for wait in self._waits(json.dumps(event)):
                task = asyncio.create_task(self._send(url, headers, event, wait))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
        await Response()(scope, receive, send)

    def _waits(self, event: str) -> Sequence[float]:
        schedule = self.board.schedule_in(event)
        if schedule is None or not re.search(r"/containers/(data|scripts)/|Microsoft.MachineLearning", event):
            return [0.0]  # of containers that nobody subscribes to
        faults, chance = schedule.events, random.Random(f"{schedule.seed} {event}")  # noqa: S311 - as the schedule's
        if chance.random() < faults.lost:
            self.board.note(schedule, "event lost")
            return []
        for kind, happens in (
            ("event repeated", faults.copies > 1),
            ("event delayed", faults.delay > 0),
            ("event shuffled", faults.shuffle > 0),
        ):
            if happens:
                self.board.note(schedule, kind)
        return [faults.delay + chance.uniform(0, faults.shuffle) for _ in range(faults.copies)]

    async def _send(self, url: str, headers: dict[str, str], event: object, wait: float) -> None:
        await asyncio.sleep(wait)
        await self.http.post(url, headers=headers, json=[event])


async def open_door(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what the training service's door is asked: go on."""
    if scope["type"] == "http":
        await Response(status_code=204)(scope, receive, send)


@contextlib.contextmanager
def serving(make: Callable[[contextlib.AsyncExitStack], Sequence[tuple[ASGIApp, int]]]) -> Iterator[None]:
    """Serve apps, each on its port, in one thread of this process.

    `make` is called in that thread's loop, with the stack that closes what the apps use when they have ended.
    """
    servers: list[uvicorn.Server] = []
    ready = threading.Event()

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            sockets = []
            for app, port in make(stack):
                config = config_for(app)
                config.http = Protocol
                config.lifespan = "on" if isinstance(app, Starlette) else "off"
                servers.append(uvicorn.Server(config))
                sockets.append(socket.create_server(("127.0.0.1", port), backlog=512))
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # cut connections are no errors here
            ready.set()
            await asyncio.gather(*(one.serve(sockets=[here]) for one, here in zip(servers, sockets, strict=True)))

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="doors", daemon=True)
    thread.start()
    if not ready.wait(30):
        raise TimeoutError("The doors do not open.")
    try:
        yield
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(30)


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _creates(request: Request) -> bool:
    return request.headers.get("if-none-match") == "*"


def _not_found(request: Request) -> str:
    """Return what storage does not find: for a call that needs no blob to be there, it is the container or queue."""
    if "/messages" in request.url.path:
        return "QueueNotFound"
    is_of_blob = request.method in ("GET", "HEAD", "DELETE") and request.query_params.get("comp") != "list"
    return "BlobNotFound" if is_of_blob else "ContainerNotFound"


def _refusal(status: int, scope: Scope) -> Response:
    """Answer as storage does: a write is refused for a copy under way, for a lease, or because the blob is there."""
    request = Request(scope)
    code = {404: _not_found(request), 429: "TooManyRequests", 500: "InternalError"}.get(status, "ServerBusy")
    if status == httpx.codes.CONFLICT:
        is_copy = "x-ms-copy-source" in request.headers
        code = (
            "BlobAlreadyExists" if _creates(request) else "PendingCopyOperation" if is_copy else "ContainerBeingDeleted"
        )
    elif status == httpx.codes.PRECONDITION_FAILED:
        code = "ConditionNotMet" if _creates(request) else "LeaseIdMissing"
    xml = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>a fault</Message></Error>'
    headers = {"x-ms-error-code": code, "Date": format_datetime(datetime.now(UTC), usegmt=True)}
    return Response(xml, status_code=status, media_type="application/xml", headers=headers)
