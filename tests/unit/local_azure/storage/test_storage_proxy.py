"""The proxy before a stand-in of Azurite, both over ASGI."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties
from pytest_mock import MockerFixture
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local_azure.storage.blob_change import BlobChange, operation_of
from local_azure.storage.blob_change_publisher import BlobChangePublisher, Pauses
from local_azure.storage.storage_proxy import StorageProxy

BLOB = "/devstoreaccount1/data/digits/%C3%A5%20b%2Fc.txt"
PUT = {"x-ms-blob-type": "BlockBlob", "content-type": "text/plain"}


class Upstream:
    """Takes requests as Azurite would, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: Callable[[], Response] = lambda: Response(status_code=201)
        self.seen: list[tuple[str, bytes, bytes, dict[str, str], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        query, headers = scope["query_string"], dict(request.headers)
        self.seen.append((request.method, scope["raw_path"], query, headers, body))
        await self.answer()(scope, receive, send)


class Target(httpx.AsyncBaseTransport):
    """Does with a request's target what the network's transport does: it goes out as it is."""

    def __init__(self, upstream: Upstream) -> None:
        self._inner = httpx.ASGITransport(upstream)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions["target"].decode()
        request.url = request.url.copy_with(raw_path=target.encode())
        return await self._inner.handle_async_request(request)


class Proxied:
    """The proxy, before whatever answers through `transport`."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.changes: list[BlobChange] = []
        self._transport = transport

    def send(
        self,
        method: str,
        target: str,
        *,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[httpx.Response, bytes]:
        """Return the answer to a request through the proxy, and its body as it came, not decoded."""

        async def inside() -> tuple[httpx.Response, bytes]:
            async with httpx.AsyncClient(transport=self._transport) as http:
                front = httpx.ASGITransport(StorageProxy("http://azurite:20000", http, self.changes.append))
                async with (
                    httpx.AsyncClient(transport=front, base_url="http://front") as client,
                    client.stream(method, target, content=content, headers=headers) as answer,
                ):
                    return answer, b"".join([piece async for piece in answer.aiter_raw()])

        return asyncio.run(inside())


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def proxied(upstream: Upstream) -> Proxied:
    return Proxied(Target(upstream))


def test_a_request_goes_on_as_it_came(upstream: Upstream, proxied: Proxied) -> None:
    headers = {**PUT, "authorization": "SharedKey x", "host": "127.0.0.1:10000", "expect": "100-continue"}
    proxied.send("PUT", f"{BLOB}?sig=a%2Fb%3D&sv=2024", content=b"12345", headers=headers)
    ((method, path, query, seen, body),) = upstream.seen
    assert (method, path, query, body) == ("PUT", BLOB.encode(), b"sig=a%2Fb%3D&sv=2024", b"12345")
    assert (seen["host"], seen["authorization"], seen["content-length"]) == ("127.0.0.1:10000", "SharedKey x", "5")
    assert "expect" not in seen


def test_a_body_without_a_length_goes_on_in_pieces(upstream: Upstream, proxied: Proxied) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"12", b"345"):
            yield piece

    proxied.send("PUT", BLOB, content=pieces(), headers={**PUT, "transfer-encoding": "chunked"})
    assert upstream.seen[0][4] == b"12345"
    assert "content-length" not in upstream.seen[0][3]
    assert proxied.changes[0].operation.content_length is None


def test_an_empty_body_stays_one(upstream: Upstream, proxied: Proxied) -> None:
    proxied.send("PUT", BLOB, headers={**PUT, "content-length": "0"})
    assert (upstream.seen[0][3]["content-length"], upstream.seen[0][4]) == ("0", b"")
    assert proxied.changes[0].operation.content_length == 0


def test_an_answer_comes_back_as_it_is(upstream: Upstream, proxied: Proxied) -> None:
    headers = {"ETag": '"0x1"', "x-ms-meta-Author": "x", "content-encoding": "gzip", "connection": "keep-alive"}
    upstream.answer = lambda: Response(b"\x1f\x8bnot really", headers=headers)
    answer, body = proxied.send("GET", BLOB)
    assert body == b"\x1f\x8bnot really"
    assert (answer.headers["content-encoding"], answer.headers["x-ms-meta-author"]) == ("gzip", "x")
    assert "connection" not in answer.headers


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("DELETE", 202)])
def test_answers_without_a_body(upstream: Upstream, proxied: Proxied, method: str, status: int) -> None:
    upstream.answer = lambda: Response(status_code=status, headers={"etag": '"1"'})
    answer, body = proxied.send(method, BLOB)
    assert (answer.status_code, body, answer.headers["etag"]) == (status, b"", '"1"')


def test_a_change_is_told_with_what_storage_answered(upstream: Upstream, proxied: Proxied) -> None:
    upstream.answer = lambda: Response(status_code=201, headers={"etag": '"0x1"', "x-ms-request-id": "r1"})
    proxied.send("PUT", BLOB, content=b"12345", headers={**PUT, "x-ms-client-request-id": "c1"})
    (change,) = proxied.changes
    assert (change.etag, change.request_id, change.operation.client_request_id) == ('"0x1"', "r1", "c1")
    assert change.operation.blob == "digits/å b/c.txt"


def test_a_refused_change_is_none(upstream: Upstream, proxied: Proxied) -> None:
    upstream.answer = lambda: Response(status_code=412)
    assert proxied.send("PUT", BLOB, content=b"1", headers=PUT)[0].status_code == 412
    assert proxied.changes == []


def test_sequencers_ascend_as_text_whatever_the_clock_does(proxied: Proxied, mocker: MockerFixture) -> None:
    mocker.patch("local_azure.storage.storage_proxy.time.time_ns", side_effect=[5, 5, 3, 2**60])
    proxy = StorageProxy("http://azurite", httpx.AsyncClient(), proxied.changes.append)
    done = operation_of("DELETE", BLOB, "", {})
    assert done is not None
    told = [proxy._change(done, httpx.Response(202)).sequencer for _ in range(4)]
    assert told == sorted(set(told))


def test_storage_that_is_down_is_busy(mocker: MockerFixture) -> None:
    class Down(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("<refused>")

    answer, body = Proxied(Down()).send("GET", BLOB)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (503, "ServerBusy")
    assert b"&lt;refused&gt;" in body


class EventGrid(httpx.AsyncBaseTransport):
    """Answers with `statuses`, then 200, and keeps the events it took."""

    def __init__(self) -> None:
        self.statuses: list[int | Exception] = []
        self.events: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        if isinstance(status, Exception):
            raise status
        if status == 200:
            self.events += json.loads(await request.aread())
        return httpx.Response(status)


def changed(target: str, *, copy_pending: bool = False, **headers: str) -> BlobChange:
    path, _, query = target.partition("?")
    done = operation_of("PUT", path, query, {name.replace("_", "-"): value for name, value in headers.items()})
    assert done is not None
    return BlobChange(
        operation=done,
        request_id="r",
        etag='"1"',
        time=datetime(2026, 1, 2, tzinfo=UTC),
        sequencer="1",
        copy_pending=copy_pending,
    )


def publish(
    grid: EventGrid,
    *changes: BlobChange,
    capacity: int = 100,
    flush: float = 5,
    first_pause: float = 0.1,
    asked: Callable[[], bool] = lambda: True,
) -> None:
    """Publish changes, and flush once `asked` says that all was asked that is to be."""

    async def inside() -> None:
        async with httpx.AsyncClient(transport=grid) as http:
            publisher = BlobChangePublisher(
                topic_url="http://grid/topics/storage/api/events",
                topic_key="a2V5",
                public_endpoint="http://front",
                upstream="http://azurite",
                http=http,
                capacity=capacity,
                pauses=Pauses(copy=0.001, first=first_pause),
            )
            for change in changes:
                publisher.add(change)
            running = asyncio.create_task(publisher.run())
            async with asyncio.timeout(30):
                while not asked():  # noqa: ASYNC110 - a mock that is called in a thread has no event
                    await asyncio.sleep(0.005)
            await publisher.flush(flush)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await publisher.close()

    asyncio.run(inside())


def put(name: str) -> BlobChange:
    return changed(f"/devstoreaccount1/data/{name}", x_ms_blob_type="BlockBlob", content_length="3")


def test_events_come_in_the_order_of_the_changes() -> None:
    grid = EventGrid()
    publish(grid, *(put(f"a{number:03}") for number in range(100)))
    assert [event["subject"][-4:] for event in grid.events] == [f"a{number:03}" for number in range(100)]


def test_an_event_grid_that_is_down_gets_them_later() -> None:
    grid = EventGrid()
    grid.statuses = [httpx.ConnectError("refused"), 503, 500]
    publish(grid, put("a"), first_pause=0.001)
    assert len(grid.events) == 1


def test_what_event_grid_refuses_does_not_hold_up_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    grid = EventGrid()
    grid.statuses = [401]
    publish(grid, *(put(f"{number}") for number in range(70)))
    assert len(grid.events) == 6
    assert "rejected 64 events" in caplog.text


def test_more_than_can_wait_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    grid = EventGrid()
    publish(grid, put("first"), put("second"), capacity=1)
    assert len(grid.events) == 1
    assert "event of PutBlob of data/second is lost" in caplog.text


def test_what_is_left_at_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    grid = EventGrid()
    grid.statuses = [httpx.ConnectError("refused")] * 100
    with caplog.at_level(logging.ERROR):
        publish(grid, put("a"), flush=0.05)
    assert "did not accept events within" in caplog.text


def properties(size: int, copy_status: str | None = None) -> BlobProperties:
    found = BlobProperties(size=size, blob_type=None)
    found.size = size
    found.content_settings.content_type = "text/csv"
    found.copy.status = copy_status
    return found


def test_a_block_list_is_asked_for_its_size(mocker: MockerFixture) -> None:
    asked = mocker.patch.object(BlobClient, "get_blob_properties", return_value=properties(7))
    grid = EventGrid()
    publish(grid, changed("/devstoreaccount1/data/a?comp=blocklist"), put("b"))
    assert [event["data"]["contentLength"] for event in grid.events] == [7, 3]
    assert grid.events[0]["data"]["contentType"] == "text/csv"
    assert asked.call_count == 1


def test_a_blob_that_is_gone_has_its_event_all_the_same(mocker: MockerFixture) -> None:
    mocker.patch.object(BlobClient, "get_blob_properties", side_effect=ResourceNotFoundError("gone"))
    grid = EventGrid()
    publish(grid, changed("/devstoreaccount1/data/a?comp=blocklist"))
    assert grid.events[0]["data"]["contentLength"] == 0


@pytest.mark.parametrize(("end", "count"), [("success", 1), ("failed", 0), ("aborted", 0)])
def test_a_pending_copy_is_told_once_it_is_done(mocker: MockerFixture, end: str, count: int) -> None:
    states = [properties(9, "pending"), properties(9, "pending"), properties(9, end), properties(9, end)]
    asked = mocker.patch.object(BlobClient, "get_blob_properties", side_effect=states)
    grid = EventGrid()
    copy = changed("/devstoreaccount1/data/a", copy_pending=True, x_ms_copy_source="http://x")
    publish(grid, copy, asked=lambda: asked.call_count == 3 + count)
    assert [event["data"]["api"] for event in grid.events] == ["CopyBlob"] * count
