"""The examples for other systems, as docs/integrations.md shows them, against the whole local stack."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.storage.queue import QueueClient

from tests.end_to_end.drops import SCRIPT, one
from tests.end_to_end.world import World

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "integrations"
MODELS = {"includedEventTypes": ["Kedja.ModelRegistered"]}


@contextlib.contextmanager
def example(name: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", str(EXAMPLES / name), *arguments]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def line(process: subprocess.Popen[str], wanted: str) -> str:
    """Return the first line that the example prints with this in it."""
    assert process.stdout is not None
    seen = []
    for text in process.stdout:
        seen.append(text)
        if wanted in text:
            return text
    raise AssertionError("".join(seen))


def subscribe(world: World, name: str, destination: dict[str, Any]) -> httpx.Response:
    subscription = {"destination": destination, "eventDeliverySchema": "CloudEventSchemaV1_0", "filter": MODELS}
    address = f"{world.stack.event_grid_url}/topics/kedja/subscriptions/{name}"
    return httpx.put(address, json=subscription, timeout=30, trust_env=False)


def unsubscribe(world: World, name: str) -> None:
    httpx.delete(f"{world.stack.event_grid_url}/topics/kedja/subscriptions/{name}", timeout=30, trust_env=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_webhook_hears_of_a_model_once(world: World) -> None:
    port = free_port()
    with example("webhook.py", str(port), WEBHOOK_SECRET="s3cret") as webhook:
        line(webhook, "listening")
        address = f"http://127.0.0.1:{port}/?key="
        refused = {"endpointType": "WebHook", "properties": {"endpointUrl": f"{address}wrong"}}
        assert not subscribe(world, "webhook", refused).is_success
        destination = {"endpointType": "WebHook", "properties": {"endpointUrl": f"{address}s3cret"}}
        assert subscribe(world, "webhook", destination).is_success
        try:
            world.drop({"data/hooked/x.bin": b"1", "scripts/hooked/train.py": SCRIPT})
            assert line(webhook, "hooked version") == "hooked version 1: models/hooked/1/manifest.json\n"
        finally:
            unsubscribe(world, "webhook")


def test_a_queue_keeps_events_until_its_consumer_comes(world: World) -> None:
    storage = world.stack.account.connection_string
    with QueueClient.from_connection_string(storage, "kedja-models") as queue:
        queue.create_queue()
        destination = {"endpointType": "StorageQueue", "properties": {"queueName": "kedja-models"}}
        assert subscribe(world, "queue", destination).is_success
        try:
            world.drop({"data/queued-up/x.bin": b"1", "scripts/queued-up/train.py": SCRIPT})
            one(world.wait("queued-up", "registered"))
            queue.send_message("bm8gSlNPTg==")  # no event: it must not stand in the way for ever
            with example("queue_consumer.py", "kedja-models", STORAGE=storage) as consumer:
                # Models of tests that run beside this one come too.
                assert line(consumer, '"queued-up"').startswith("Kedja.ModelRegistered ")
        finally:
            unsubscribe(world, "queue")


def test_another_system_asks_for_a_training(world_alone: World) -> None:
    world = world_alone
    with world.faults(storage_data={"drop": {}}, storage_scripts={"drop": {}}):
        world.drop({"data/asked/x.bin": b"1", "scripts/asked/train.py": SCRIPT})
        command = [sys.executable, str(EXAMPLES / "request_training.py"), "asked", "epochs=2"]
        environment = {**os.environ, "KEDJA_URL": world.stack.functions_url, "NO_PROXY": "*"}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert answer.stdout == "{'received': 1, 'accepted': 1, 'ignored': 0}\n"
        receipt = one(world.wait("asked", "registered", "failed"))
    assert receipt["trigger"] == "event: /examples/request_training"


def test_a_model_is_dispatched_to_a_repository(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, str | None, dict[str, Any]]] = []

    class GitHub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

    world.drop({"data/dispatched/x.bin": b"1", "scripts/dispatched/train.py": SCRIPT})
    one(world.wait("dispatched", "registered"))
    assert world.receiver.wait_for("Kedja.ModelRegistered", "dispatched", timeout=60)
    (event,) = {
        found["id"]: found for found in world.events("dispatched") if found["type"] == "Kedja.ModelRegistered"
    }.values()
    with HTTPServer(("127.0.0.1", 0), GitHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GITHUB_API", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GITHUB_TOKEN", "a token")
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.syspath_prepend(str(EXAMPLES / "github"))
        import dispatch  # type: ignore[import-not-found] # noqa: PLC0415 - an example, found where it lies

        assert dispatch.dispatch(event, "owner/repo") == 204
        server.shutdown()
    ((path, authorization, body),) = received
    assert (path, authorization) == ("/repos/owner/repo/dispatches", "Bearer a token")
    assert body["event_type"] == "kedja-model-registered"
    assert body["client_payload"]["manifest"] == "models/dispatched/1/manifest.json"
    assert len(body["client_payload"]) <= 10


def test_every_example_is_documented() -> None:
    text = (ROOT / "docs" / "integrations.md").read_text()
    for path in EXAMPLES.rglob("*.*"):
        if "__pycache__" not in path.parts and path.name != "requirements.txt":
            part = path.relative_to(EXAMPLES).parts[0]
            assert re.search(rf"\b{re.escape(part)}", text), path
