"""An Event Grid over ASGI, on a clock of the test's."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from azure.storage.blob import BlobClient
from azure.storage.queue import QueueClient
from pytest_mock import MockerFixture
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from local_azure.credentials import TOPIC_KEY
from local_azure.event_grid.server import EventGridParts, create_app, make_parts
from local_azure.storage.azurite import AzuriteAccount

EVENTS = Path(__file__).parents[3] / "events"
ACCOUNT = AzuriteAccount(blob_port=1, queue_port=2, table_port=3)
HOOK = "http://hook.example/events"
JSON, CLOUD, BATCH = "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


EVENT, CLOUD_EVENT = recorded("blob_created.json"), recorded("blob_created_cloud_event.json")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Hook:
    """A webhook that answers with `status`, and shakes hands unless it is `unwilling`."""

    def __init__(self) -> None:
        self.status = 200
        self.unwilling = False
        self.received: list[tuple[dict[str, str], Any]] = []
        self.handshakes: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            self.handshakes.append(request.headers["webhook-request-origin"])
            return Response(headers={} if self.unwilling else {"WebHook-Allowed-Origin": "*"})
        body = await request.json()
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            self.handshakes.append(request.headers["aeg-subscription-name"])
            code = "no" if self.unwilling else body[0]["data"]["validationCode"]
            return JSONResponse({"validationResponse": code})
        self.received.append((dict(request.headers), body))
        return Response(status_code=self.status)


class Grid:
    """An Event Grid in `folder`, with the storage clients' calls in `sent` and `dead`."""

    def __init__(self, folder: Path, mocker: MockerFixture, document: dict[str, Any]) -> None:
        self.folder = folder
        self.clock = Clock()
        self.hook = Hook()
        self.sent = mocker.patch.object(QueueClient, "send_message", autospec=True)
        self.dead = mocker.patch.object(BlobClient, "upload_blob", autospec=True)
        (folder / "subscriptions.json").write_text(json.dumps(document))
        self.parts = self._make()

    def _make(self) -> EventGridParts:
        return make_parts(
            subscriptions=self.folder / "subscriptions.json",
            state=self.folder / "state",
            storage=ACCOUNT.connection_string,
            clock=self.clock,
            transport=httpx.ASGITransport(self.hook),
        )

    def restart(self) -> None:
        self.parts.store.close()
        self.parts = self._make()

    def run[T](self, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        async def inside() -> T:
            transport = httpx.ASGITransport(create_app(self.parts))
            async with httpx.AsyncClient(transport=transport, base_url="http://grid") as client:
                return await work(client)

        return asyncio.run(inside())

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        return self.run(lambda client: client.request(method, path, json=json, content=content, headers=headers))

    def publish(self, document: object, topic: str = "storage", content_type: str = JSON) -> httpx.Response:
        headers = {"aeg-sas-key": TOPIC_KEY, "content-type": content_type}
        path = f"/topics/{topic}/api/events?api-version=2018-01-01"
        return self.request("POST", path, content=json.dumps(document).encode(), headers=headers)

    def deliver(self, name: str = "storage/data", after: float = 0) -> None:
        self.clock.time += timedelta(seconds=after)
        asyncio.run(self.parts.delivery.deliver_due(*name.split("/")))

    def counts(self, name: str = "storage/data") -> dict[str, int]:
        counted = self.parts.store.counts(*name.split("/"))
        return {what: number for what, number in counted.items() if number}

    @property
    def messages(self) -> list[Any]:
        return [json.loads(call.args[1]) for call in self.sent.call_args_list]


def queue(**more: object) -> dict[str, Any]:
    return {"destination": {"endpointType": "StorageQueue", "properties": {"queueName": "blob-events"}}, **more}


def webhook(**more: object) -> dict[str, Any]:
    batch = {"maxEventsPerBatch": more.pop("batch")} if "batch" in more else {}
    return {"destination": {"endpointType": "WebHook", "properties": {"endpointUrl": HOOK, **batch}}, **more}


DEAD_LETTER = {"endpointType": "StorageBlob", "properties": {"blobContainerName": "dead-letter"}}
