"""The storage proxy and the Event Grid as processes, before a real Azurite, with Azure's own clients."""

import base64
import contextlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import psutil
import pytest
from azure.core import MatchConditions
from azure.core.credentials import AzureKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient, generate_sas
from azure.storage.blob import BlobBlock, BlobSasPermissions, BlobServiceClient, ContentSettings, generate_blob_sas
from azure.storage.queue import QueueClient, QueueServiceClient

from local_azure.credentials import TOPIC_KEY
from local_azure.storage.azurite import AzuriteAccount, running_azurite

pytestmark = pytest.mark.xdist_group("event-grid")

ROOT = Path(__file__).parents[2]
RUN_EVENT = json.loads((ROOT / "tests/events/run_completed.json").read_text())
HOSTILE = "digits/å ä+b&c=d 50% #1?.txt"


@contextlib.contextmanager
def program(module: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a module on a free port, and yield the process and its address; it must end well on SIGTERM."""
    command = [sys.executable, "-m", module, "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield process, line.split()[-1]
        finally:
            process.terminate()
            assert process.wait(30) == 0


def port_of(address: str) -> int:
    return urlsplit(address).port or 0


@attrs.frozen
class Stack:
    """Everything up; `account` has the proxy's port for blobs."""

    account: AzuriteAccount
    azurite: AzuriteAccount
    proxy: psutil.Process
    grid: str
    state: Path

    @property
    def blobs(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.account.connection_string)

    def messages(self, queue: str, count: int, seconds: float = 60) -> list[Any]:
        """Take `count` messages out of a queue, and make sure that it holds no more."""
        with QueueClient.from_connection_string(self.account.connection_string, queue) as client:
            taken: list[Any] = []
            deadline = time.monotonic() + seconds
            while len(taken) < count and time.monotonic() < deadline:
                batch = list(client.receive_messages(max_messages=32, visibility_timeout=600))
                taken += [json.loads(base64.b64decode(message.content)) for message in batch]
                for message in batch:
                    client.delete_message(message)
            time.sleep(0.3)
            taken += [json.loads(base64.b64decode(message.content)) for message in client.receive_messages()]
        assert len(taken) == count, taken
        return taken


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteAccount]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as account:
        with BlobServiceClient.from_connection_string(account.connection_string) as blobs:
            for name in ("data", "scripts", "receipts", "dead-letter"):
                blobs.create_container(name)
        with QueueServiceClient.from_connection_string(account.connection_string) as queues:
            for name in ("blob-events", "run-events"):
                queues.create_queue(name)
        yield account


@pytest.fixture(scope="module")
def stack(azurite: AzuriteAccount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("state")
    upstream = f"http://127.0.0.1:{azurite.blob_port}"
    with (
        program("local_azure.event_grid", "--state", str(state), "--storage", azurite.connection_string) as (_, grid),
        program("local_azure.storage.storage_proxy", "--upstream", upstream, "--event-grid", grid) as (process, front),
    ):
        account = attrs.evolve(azurite, blob_port=port_of(front))
        yield Stack(account, azurite, psutil.Process(process.pid), grid, state)


def test_each_way_to_write_a_blob_raises_its_event(stack: Stack) -> None:
    with stack.blobs as blobs:
        data = blobs.get_container_client("data")
        settings = ContentSettings(content_type="text/csv")
        put = data.upload_blob(HOSTILE, b"12345", content_settings=settings, metadata={"Author": "me"})
        blocks = data.get_blob_client("digits/blocks.bin")
        blocks.stage_block("eA==", b"1" * 10)
        blocks.stage_block("eQ==", b"2" * 10)
        blocks.commit_block_list([BlobBlock("eA=="), BlobBlock("eQ==")])
        copy = data.get_blob_client("digits/copy.txt")
        copy.start_copy_from_url(put.url)
        data.get_blob_client("digits/now.txt").start_copy_from_url(put.url, requires_sync=True)
        copy.set_blob_metadata({"a": "b"})
        copy.create_snapshot()
        copy.acquire_lease().release()
        blobs.get_blob_client("receipts", "digits/latest.json").upload_blob(b"{}")
        copy.delete_blob(delete_snapshots="include")
        events = stack.messages("blob-events", 4)
    told = {event["data"]["api"]: event["data"] for event in events}
    assert [event["data"]["api"] for event in sorted(events, key=lambda event: event["data"]["sequencer"])] == [
        "PutBlob",
        "PutBlockList",
        "CopyBlob",
        "CopyBlob",
    ]
    assert {api: data["contentLength"] for api, data in told.items()} == {
        "PutBlob": 5,
        "PutBlockList": 20,
        "CopyBlob": 5,
    }
    first = told["PutBlob"]
    assert (first["contentType"], first["blobType"]) == ("text/csv", "BlockBlob")
    assert first["eTag"].startswith('"0x')
    assert events[0]["topic"].endswith("/storageAccounts/devstoreaccount1")
    subjects = {event["subject"] for event in events}
    assert f"/blobServices/default/containers/data/blobs/{HOSTILE}" in subjects
    # The address in the event is one that a client can use as it is.
    with stack.blobs as blobs:
        name = urlsplit(first["url"]).path.removeprefix("/devstoreaccount1/data/")
        signed = generate_blob_sas(
            stack.account.name,
            "data",
            HOSTILE,
            account_key=stack.account.key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        assert httpx.get(f"{first['url']}?{signed}").content == b"12345"
        assert "%20" in name
        properties = blobs.get_blob_client("data", HOSTILE).get_blob_properties()
        assert list(properties.metadata) == ["Author"]


def test_refusals_conditions_and_listings_are_azurites_own(stack: Stack) -> None:
    with stack.blobs as blobs:
        blob = blobs.get_blob_client("receipts", "conditional.json")
        etag = blob.upload_blob(b"{}", overwrite=True)["etag"]
        with pytest.raises(ResourceModifiedError):
            blob.upload_blob(b"[]", overwrite=True, etag='"0x0"', match_condition=MatchConditions.IfNotModified)
        with pytest.raises(HttpResponseError) as unchanged:
            blob.download_blob(etag=etag, match_condition=MatchConditions.IfModified)
        assert unchanged.value.status_code == 304
        with pytest.raises(ResourceNotFoundError):
            blobs.get_blob_client("receipts", "absent").get_blob_properties()
        assert [found.name for found in blobs.get_container_client("receipts").list_blobs("conditional")] == [
            "conditional.json"
        ]
        assert blob.download_blob(offset=1, length=1).readall() == b"}"
        blob.upload_blob(b"", overwrite=True)
        assert blob.download_blob().readall() == b""
    with (
        BlobServiceClient(stack.account.blob_endpoint, credential="bm90IHRoZSBrZXk=") as stranger,
        pytest.raises(HttpResponseError) as refused,
    ):
        stranger.get_container_client("data").get_container_properties()
    assert refused.value.status_code == 403


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(stack: Stack) -> None:
    signed = generate_blob_sas(
        stack.account.name,
        "receipts",
        "asked",
        account_key=stack.account.key,
        permission=BlobSasPermissions(create=True, write=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    with socket.create_connection(("127.0.0.1", stack.account.blob_port), timeout=10) as connection:
        connection.sendall(
            f"PUT /devstoreaccount1/receipts/asked?{signed} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
            "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2024-11-04\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"12345")
        assert connection.recv(1000).startswith(b"HTTP/1.1 201")


def test_300_files_by_16_uploads_raise_300_events(stack: Stack) -> None:
    names = {f"many/{number:03}.bin" for number in range(300)}
    with stack.blobs as blobs, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: blobs.get_blob_client("data", name).upload_blob(os.urandom(1000)), names))
    events = stack.messages("blob-events", 300)
    assert {event["subject"].partition("/blobs/")[2] for event in events} == names
    assert len({event["id"] for event in events}) == 300


def test_a_large_blob_passes_in_pieces(stack: Stack) -> None:
    before = stack.proxy.memory_info().rss
    size = 192 << 20

    class Zeros(io.RawIOBase):
        left = size

        def readable(self) -> bool:
            return True

        def read(self, count: int = -1) -> bytes:
            taken = min(count if count >= 0 else self.left, self.left)
            self.left -= taken
            return bytes(taken)

    with stack.blobs as blobs:
        blob = blobs.get_blob_client("data", "large.bin")
        blob.upload_blob(Zeros(), length=size, max_concurrency=4)
        assert sum(len(chunk) for chunk in blob.download_blob(max_concurrency=4).chunks()) == size
    told = stack.messages("blob-events", 1)[0]["data"]
    assert (told["api"], told["contentLength"]) == ("PutBlockList", size)
    assert stack.proxy.memory_info().rss - before < 64 << 20


def test_the_real_client_publishes_with_key_and_token_in_both_schemas(stack: Stack) -> None:
    endpoint = f"{stack.grid}/topics/workspace/api/events"
    token = generate_sas(endpoint, TOPIC_KEY, datetime.now(UTC) + timedelta(hours=1))
    for credential in (AzureKeyCredential(TOPIC_KEY), AzureSasCredential(token)):
        with EventGridPublisherClient(endpoint, credential) as client:
            client.send(EventGridEvent.from_dict(RUN_EVENT))
            client.send([EventGridEvent.from_dict(RUN_EVENT | {"id": "other"})])
    assert sorted(event["id"] for event in stack.messages("run-events", 4)) == sorted([RUN_EVENT["id"], "other"] * 2)
    with (
        EventGridPublisherClient(endpoint, AzureKeyCredential("bm90IHRoZSBrZXk=")) as stranger,
        pytest.raises(ClientAuthenticationError),
    ):
        stranger.send(EventGridEvent.from_dict(RUN_EVENT))


@contextlib.contextmanager
def hook(port: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """A webhook for CloudEvents, on a real socket."""
    received: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_OPTIONS(self) -> None:
            self.send_response(200)
            self.send_header("WebHook-Allowed-Origin", self.headers["WebHook-Request-Origin"])
            self.end_headers()

        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, received
        finally:
            server.shutdown()
            thread.join()


def test_a_webhook_that_subscribed_gets_what_was_published_while_everything_was_down(
    azurite: AzuriteAccount, tmp_path: Path
) -> None:
    arguments = ("--state", str(tmp_path / "state"), "--storage", azurite.connection_string)
    event = CloudEvent(source="/kedja", type="Kedja.ModelRegistered", data={"model": "digits"}, subject="digits")
    with program("local_azure.event_grid", *arguments) as (_, grid):
        with hook() as (port, _received):
            destination = {"endpointType": "WebHook", "properties": {"endpointUrl": f"http://127.0.0.1:{port}/"}}
            made = httpx.put(f"{grid}/topics/kedja/subscriptions/mine", json={"destination": destination})
            assert made.status_code == 201, made.text
        with EventGridPublisherClient(f"{grid}/topics/kedja/api/events", AzureKeyCredential(TOPIC_KEY)) as client:
            client.send([event])
        wait_for(lambda: httpx.get(f"{grid}/topics/kedja/subscriptions").json()[0]["deliveries"]["failed"] >= 1)
    with hook(port) as (_, received), program("local_azure.event_grid", *arguments):
        wait_for(lambda: len(received) == 1, seconds=90)  # the first steps of the schedule are 10 s and 30 s
    assert (received[0]["id"], received[0]["data"]) == (event.id, {"model": "digits"})


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_events_of_the_last_uploads_are_flushed_at_the_end(azurite: AzuriteAccount, tmp_path: Path) -> None:
    arguments = ("--state", str(tmp_path / "state"), "--storage", azurite.connection_string)
    with program("local_azure.event_grid", *arguments) as (_, grid):
        upstream = f"http://127.0.0.1:{azurite.blob_port}"
        with program("local_azure.storage.storage_proxy", "--upstream", upstream, "--event-grid", grid) as (
            _process,
            front,
        ):
            account = attrs.evolve(azurite, blob_port=port_of(front))
            with BlobServiceClient.from_connection_string(account.connection_string) as blobs:
                for number in range(20):
                    blobs.get_blob_client("receipts", f"last/{number}").upload_blob(b"1", overwrite=True)
                blobs.get_blob_client("scripts", "last/train.py").upload_blob(b"1", overwrite=True)
        scripts = "/topics/storage/subscriptions"
        wait_for(lambda: httpx.get(grid + scripts).json()[1]["deliveries"]["delivered"] == 1)
    with QueueClient.from_connection_string(azurite.connection_string, "blob-events") as queue:
        queue.clear_messages()


@pytest.mark.parametrize("module", ["local_azure.event_grid", "local_azure.storage.storage_proxy"])
def test_a_port_in_use_is_said_in_one_line(module: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = ["--state", str(tmp_path)] if module.endswith("event_grid") else []
        command = [sys.executable, "-m", module, "--port", str(port), *state]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Port {port} cannot be used")
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_subscriptions_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"topics": {"t": {"schema": "x"}}}')
    options = ["--port", "0", "--subscriptions", str(tmp_path / "wrong.json"), "--state", str(tmp_path)]
    command = [sys.executable, "-m", "local_azure.event_grid", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "topics.t.schema" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
