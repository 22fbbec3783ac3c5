"""The HTTP server of the local Event Grid: publishing to topics, and managing their subscriptions.

    POST   /topics/{topic}/api/events             publish, as the azure-eventgrid client does
    GET    /topics                                list the topics
    GET    /topics/{topic}/subscriptions          list its subscriptions, with counts of their deliveries
    PUT    /topics/{topic}/subscriptions/{name}   add or replace one; the body is as in the subscriptions file
    DELETE /topics/{topic}/subscriptions/{name}   unsubscribe
    GET    /faults, PUT /faults                   show or set the injected faults, until the server ends
    GET    /health                                200 if the server runs

Publishing needs the topic's key. The other routes need none: the server listens on the loopback interface only, and
the port guard keeps web pages out.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path

import httpx
from attrs import frozen
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_azure.clock import Clock, SystemClock
from local_azure.credentials import TOPIC_KEY
from local_azure.errors import LocalAzureError
from local_azure.event_grid import access_key
from local_azure.event_grid.delivery_store import DeliveryStore
from local_azure.event_grid.event_delivery import EventDelivery, resource_id
from local_azure.event_grid.event_faults import FaultInjector, FaultPlan
from local_azure.event_grid.event_schema import InvalidEvents, problems_of, read_events
from local_azure.event_grid.event_storage import EventStorage
from local_azure.event_grid.event_webhook import HandshakeFailed
from local_azure.event_grid.subscriptions import (
    InvalidSubscriptions,
    Subscription,
    SubscriptionBook,
    UnknownSubscription,
    read_file,
)
from local_azure.http_server import listen, serve
from local_azure.storage.azurite import AzuriteAccount

_MAX_REQUEST_BYTES = 1024 * 1024  # bytes: https://learn.microsoft.com/azure/event-grid/quotas-limits
_SUBSCRIPTIONS = Path(__file__).with_name("subscriptions.json")


class TooLarge(LocalAzureError):
    """The request exceeds the size limit."""


_STATUS: dict[type[LocalAzureError], HTTPStatus] = {
    access_key.Unauthorized: HTTPStatus.UNAUTHORIZED,
    HandshakeFailed: HTTPStatus.BAD_REQUEST,
    InvalidEvents: HTTPStatus.BAD_REQUEST,
    InvalidSubscriptions: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnknownSubscription: HTTPStatus.NOT_FOUND,
}


@frozen(kw_only=True)
class EventGridParts:
    """The components of an Event Grid. `key` is access key of every topic."""

    book: SubscriptionBook
    store: DeliveryStore
    storage: EventStorage
    faults: FaultInjector
    delivery: EventDelivery
    clock: Clock
    key: str


class _EventGrid:
    """The routes."""

    def __init__(self, parts: EventGridParts) -> None:
        self._parts = parts

    async def publish(self, request: Request) -> Response:
        parts, name = self._parts, request.path_params["topic"]
        topic = parts.book.topic(name)
        access_key.check(request.headers, request.url.path, parts.key, parts.clock.now())
        body = await _body(request)
        content_type = request.headers.get("content-type", "application/json")
        parts.delivery.accept(name, read_events(body, content_type, topic.input_schema, resource_id(name)))
        return Response()  # the only status that azure-eventgrid treats as success

    async def topics(self, _request: Request) -> Response:
        return JSONResponse(list(self._parts.book.topics()))

    async def subscriptions(self, request: Request) -> Response:
        name = request.path_params["topic"]
        listed = [
            {"name": subscription, **_to_json(value), "deliveries": self._parts.store.counts(name, subscription)}
            for subscription, value in self._parts.book.topic(name).event_subscriptions.items()
        ]
        return JSONResponse(listed)

    async def subscribe(self, request: Request) -> Response:
        topic, name = request.path_params["topic"], request.path_params["name"]
        try:
            subscription = Subscription.model_validate_json(await _body(request))
        except ValidationError as error:
            raise InvalidSubscriptions(f"The subscription is wrong: {'; '.join(problems_of(error))}.") from error
        await self._parts.delivery.subscribe(topic, name, subscription)
        return JSONResponse({"name": name, **_to_json(subscription)}, HTTPStatus.CREATED)

    async def unsubscribe(self, request: Request) -> Response:
        self._parts.delivery.unsubscribe(request.path_params["topic"], request.path_params["name"])
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def show_faults(self, _request: Request) -> Response:
        return JSONResponse(self._parts.faults.plan.model_dump(mode="json", by_alias=True))

    async def set_faults(self, request: Request) -> Response:
        try:
            self._parts.faults.plan = FaultPlan.model_validate_json(await _body(request))
        except ValidationError as error:
            raise InvalidSubscriptions(f"The faults are wrong: {'; '.join(problems_of(error))}.") from error
        return await self.show_faults(request)

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "healthy"})


def make_parts(
    *,
    subscriptions: Path,
    state: Path,
    storage: str,
    key: str = TOPIC_KEY,
    clock: Clock | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> EventGridParts:
    """Create the components of an Event Grid.

    Args:
        subscriptions: the file with topics and subscriptions.
        state: the folder for state that survives a restart; created if it is missing.
        storage: connection string of the account for queues and dead letters.
        key: access key of every topic, Base64.
        clock: the system's clock if None.
        transport: carries the requests to webhooks; the network if None.

    Raises:
        InvalidSubscriptions: a subscriptions file is invalid.
    """
    file = read_file(subscriptions)
    store = DeliveryStore(state / "deliveries.sqlite")
    book = SubscriptionBook(file.topics, state / "subscriptions.json")
    to_storage, faults, clock = EventStorage(storage), FaultInjector(file.faults), clock or SystemClock()
    delivery = EventDelivery(
        book=book, store=store, storage=to_storage, faults=faults, clock=clock, transport=transport
    )
    return EventGridParts(
        book=book, store=store, storage=to_storage, faults=faults, delivery=delivery, clock=clock, key=key
    )


def create_app(parts: EventGridParts) -> Starlette:
    """Return the ASGI app. It delivers events during its lifespan, and closes the components at the end."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        delivering = asyncio.create_task(parts.delivery.run())
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            await parts.delivery.close()
            await parts.storage.close()
            parts.store.close()

    grid = _EventGrid(parts)
    return Starlette(
        lifespan=lifespan,
        exception_handlers=dict.fromkeys(_STATUS, _error_response),
        routes=[
            Route("/topics/{topic}/api/events", grid.publish, methods=["POST"]),
            Route("/topics", grid.topics),
            Route("/topics/{topic}/subscriptions", grid.subscriptions),
            Route("/topics/{topic}/subscriptions/{name}", grid.subscribe, methods=["PUT"]),
            Route("/topics/{topic}/subscriptions/{name}", grid.unsubscribe, methods=["DELETE"]),
            Route("/faults", grid.show_faults),
            Route("/faults", grid.set_faults, methods=["PUT"]),
            Route("/health", grid.health),
        ],
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_REQUEST_BYTES:
            raise TooLarge(f"The request exceeds {_MAX_REQUEST_BYTES} bytes; send fewer or smaller events.")
    return bytes(body)


async def _error_response(_request: Request, error: Exception) -> Response:
    """Return the error in the format that Azure's clients read."""
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    code = status.phrase.title().replace(" ", "")
    return JSONResponse({"error": {"code": code, "message": str(error)}}, status)


def _to_json(subscription: Subscription) -> dict[str, object]:
    plain: dict[str, object] = json.loads(subscription.model_dump_json(by_alias=True, exclude_none=True))
    return plain


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve Event Grid until SIGTERM or SIGINT; return the exit status."""
    account = AzuriteAccount(blob_port=10000, queue_port=10001, table_port=10002)
    parser = argparse.ArgumentParser(prog="python -m local_azure.event_grid", description="A local Event Grid")
    parser.add_argument("--port", type=int, default=6500, help="port for publishers; 0 takes a free one")
    parser.add_argument("--state", type=Path, default=Path(".kedja/event-grid"), help="folder for its state")
    parser.add_argument("--subscriptions", type=Path, default=_SUBSCRIPTIONS, help="file with the subscriptions")
    parser.add_argument("--storage", default=account.connection_string, help="connection string of the storage account")
    parser.add_argument("--key", default=TOPIC_KEY, help="access key of every topic")
    options = parser.parse_args(arguments)
    try:
        listener = listen(options.port)
        parts = make_parts(
            subscriptions=options.subscriptions, state=options.state, storage=options.storage, key=options.key
        )
    except LocalAzureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    serve(create_app(parts), listener, "Event Grid")
    return 0
