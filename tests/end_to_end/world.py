"""A user before a stack that is up: what tests do to it, and what they wait for."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from attrs import define, field, frozen
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient

from local_azure.stack.stack import Stack, answers
from local_azure.stack.webhook_receiver import WebhookReceiver
from tests.end_to_end.stacks import QUIET, TIMERS

FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})


@define
class World:
    """A user with an ordinary storage client, before a stack that is up."""

    stack: Stack
    supervisor: psutil.Process
    storage: BlobServiceClient
    receiver: WebhookReceiver
    http: httpx.Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.stack.functions_url, timeout=60, trust_env=False)

    @classmethod
    @contextmanager
    def before(cls, stack: Stack, supervisor: psutil.Process, subscriber: str) -> "Iterator[World]":
        """Subscribe to the stack's events under this name, and use it."""
        with (
            WebhookReceiver.running() as receiver,
            BlobServiceClient.from_connection_string(stack.account.connection_string) as storage,
        ):
            subscription = {
                "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": receiver.url}},
                "eventDeliverySchema": "CloudEventSchemaV1_0",
            }
            address = f"{stack.event_grid_url}/topics/kedja/subscriptions/{subscriber}"
            assert httpx.put(address, json=subscription, timeout=30, trust_env=False).is_success
            world = cls(stack, supervisor, storage, receiver)
            try:
                yield world
            finally:
                world.http.close()
                httpx.delete(address, timeout=30, trust_env=False)

    def drop(self, files: Mapping[str, bytes], *, parallel: int = 4) -> None:
        """Write files, `<container>/<experiment>/<name>` → content."""

        def write(item: tuple[str, bytes]) -> None:
            container, _, name = item[0].partition("/")
            self.storage.get_blob_client(container, name).upload_blob(item[1], overwrite=True)

        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(write, files.items()))

    def names(self, container: str, prefix: str) -> list[str]:
        return [blob.name for blob in self.storage.get_container_client(container).list_blobs(name_starts_with=prefix)]

    def read(self, container: str, name: str) -> bytes:
        content: bytes = self.storage.get_blob_client(container, name).download_blob().readall()
        return content

    def receipts(self, experiment: str) -> list[dict[str, Any]]:
        """Return the experiment's receipts, oldest first."""
        found = [
            json.loads(self.read("receipts", name))
            for name in self.names("receipts", f"{experiment}/")
            if not name.endswith("/latest.json")
        ]
        return sorted(found, key=lambda receipt: str(receipt["received_at"]))

    def wait(self, experiment: str, *statuses: str, count: int = 1, timeout: float = 180) -> list[dict[str, Any]]:
        """Wait until the experiment has `count` receipts and each has one of the statuses."""
        deadline = time.monotonic() + timeout
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            found = self.receipts(experiment)
            if len(found) >= count and all(receipt["status"] in statuses for receipt in found):
                return found
            time.sleep(0.3)
        shown = [(receipt["status"], receipt.get("reason")) for receipt in found]
        raise AssertionError(f"{experiment}: waited {timeout} s for {count} of {statuses}; there is {shown}")

    def calm(self) -> None:
        """Wait until every queue has been empty for longer than a folder takes to settle."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET + 2:
            if any(self.waiting(queue) for queue in ("blob-events", "settled-drops", "run-events")):
                quiet_since = time.monotonic()
            time.sleep(0.3)

    def waiting(self, queue: str) -> int:
        with QueueClient.from_connection_string(self.stack.account.connection_string, queue) as client:
            return client.get_queue_properties().approximate_message_count or 0

    def jobs(self, experiment: str) -> list[dict[str, Any]]:
        """Return the jobs that exist in the training service itself, as MLflow knows them."""
        with httpx.Client(base_url=self.stack.mlflow_url, timeout=30, trust_env=False) as mlflow:
            found = mlflow.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": experiment})
            if found.status_code == httpx.codes.NOT_FOUND:
                return []
            wanted = {"experiment_ids": [found.json()["experiment"]["experiment_id"]], "max_results": 100}
            runs: list[dict[str, Any]] = mlflow.post("/api/2.0/mlflow/runs/search", json=wanted).json().get("runs", [])
            return runs

    def versions(self, model: str) -> list[str]:
        """Return the versions that the registry has of a model."""
        models = self.get(f"/api/models/{model}", missing=True)
        return [version["version"] for version in models["versions"]] if models else []

    def get(self, path: str, *, missing: bool = False) -> dict[str, Any]:
        answer = self.http.get(path)
        if missing and answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, values: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.http.post(path, json=values)

    def reconcile(self) -> None:
        """Poke the timers, as a person does through the host's admin API."""
        for timer in TIMERS:
            answer = self.http.post(f"/admin/functions/{timer}", json={"input": ""})
            assert answer.is_success, answer.text

    @contextmanager
    def faults(self, **subscriptions: Mapping[str, Any]) -> Iterator[None]:
        """Let deliveries of events go wrong: `storage_data={"duplicate": 3}`."""
        plan = {"seed": 7, "subscriptions": {name.replace("_", "/"): dict(one) for name, one in subscriptions.items()}}
        with httpx.Client(base_url=self.stack.event_grid_url, timeout=30, trust_env=False) as grid:
            assert grid.put("/faults", json=plan).is_success
            try:
                yield
            finally:
                assert grid.put("/faults", json={}).is_success

    def events(self, experiment: str) -> list[Mapping[str, Any]]:
        return [event for event in self.receiver.events if event["data"].get("experiment") == experiment]

    def kill_host(self) -> None:
        """`kill -9` the functions host; the supervisor starts it again."""
        for process in self.supervisor.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "local_azure.functions_host" in process.cmdline():
                    process.kill()
                    process.wait(30)

    def restart_host(self) -> None:
        """Have the functions host start again, with the settings that are written now, and wait until it answers."""
        self.kill_host()
        until(lambda: answers(f"{self.stack.functions_url}/admin/host/status"), "the host")


def until(found: Callable[[], Any], what: str, *, timeout: float = 180, every: float = 0.1) -> Any:  # noqa: ANN401 - whatever is found
    """Wait until something is found, and return it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(every)
    raise AssertionError(f"{what}: not within {timeout} s")


@frozen
class Hold:
    """Keeps scripts waiting until a test has seen what it wanted to see."""

    path: Path

    def before(self, script: bytes) -> bytes:
        """Return the script with a wait at its beginning, which ends by itself after four minutes."""
        lines = (
            "import pathlib, time",
            "for _ in range(2400):",
            f"    if pathlib.Path({str(self.path)!r}).exists(): break",
            "    time.sleep(0.1)",
        )
        return "\n".join(lines).encode() + b"\n" + script

    def release(self) -> None:
        self.path.touch()
