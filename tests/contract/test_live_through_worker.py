"""Live answers through the worker library, which joins an answer's body before it sends it, over Azurite.

In a process of its own: the library holds one app a process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WAITING = 30
"""Clients that wait at once: more than a worker has threads."""

LISTEN = """
import asyncio, json, os, sys, time
from pathlib import Path

import httpx
from function_app.azure.storage import StorageAccount
from function_app.store.journal import Entry, Journal
from function_app.ports.clock import utc_now
from local_azure.functions_host.http_trigger import HttpDispatcher, HttpTrigger
from local_azure.functions_host.worker import Worker


def write(journal):
    metadata = {"status": "running", "received": "2026-03-01T12:00:00+00:00", "job": "digits-1"}
    journal.append([Entry(kind="drop", experiment="digits", data={"drop": "d" * 64, "metadata": metadata})])


async def timed(request):
    began = time.monotonic()
    answer = await request
    return {"status": answer.status_code, "text": answer.text, "type": answer.headers["content-type"],
            "seconds": time.monotonic() - began}


async def main():
    worker = await Worker.start(Path(sys.argv[1]))
    trigger = HttpTrigger.of(worker.function("http_api"), "")
    transport = httpx.ASGITransport(HttpDispatcher(worker, [trigger], homepage=False))
    storage = StorageAccount.connect(os.environ, None, prefix="KedjaStorage")
    journal = Journal(storage.blobs, utc_now)
    told = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7071", timeout=60) as client:
        told["start"] = await timed(client.get("/api/live"))
        cursor = [line[4:] for line in told["start"]["text"].splitlines() if line.startswith("id: ")][0]
        address = f"/api/live?wait=15&after={cursor}"
        waiting = [asyncio.ensure_future(timed(client.get(address))) for _ in range(int(sys.argv[2]))]
        await asyncio.sleep(2)
        told["meanwhile"] = await timed(client.get("/api/health"))
        told["listed meanwhile"] = await timed(client.get("/api/drops?limit=1"))
        await asyncio.to_thread(write, journal)
        told["waiting"] = await asyncio.gather(*waiting)
        told["quiet"] = await timed(client.get("/api/live?wait=1", headers={"Last-Event-ID": told["waiting"][0]["text"]
            .partition("id: ")[2].partition(chr(10))[0]}))
    worker.stop()
    storage.blobs.client.close()
    storage.queues.client.close()
    print(json.dumps(told))


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def told(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Let many wait at once; return what each was told."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("KEDJA_", "WEBSITE_"))},
        "PYTHONPATH": str(ROOT),
        "PYTHON_SCRIPT_FILE_NAME": "app.py",
        "KedjaStorage": azurite,
        "KEDJA_AUTH": "local",
        "KEDJA_TRAINING_SERVICE": "local_azure.training.service:connect",
        "KEDJA_LOCAL_TRAINING": str(tmp_path_factory.mktemp("training")),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
    }
    command = [sys.executable, "-c", LISTEN, str(ROOT), str(WAITING)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found


def test_a_newcomer_is_answered_at_once(told: dict[str, Any]) -> None:
    assert told["start"]["status"] == 200
    assert told["start"]["type"].startswith("text/event-stream")
    assert told["start"]["text"].startswith("retry: 1000\n\nevent: start\nid: ")


def test_all_who_wait_are_told_when_it_happens(told: dict[str, Any]) -> None:
    assert len(told["waiting"]) == WAITING
    for answer in told["waiting"]:
        assert answer["status"] == 200
        assert "event: drop\n" in answer["text"]
        assert '"status": "running"' in answer["text"]
        assert 2 <= answer["seconds"] < 15


def test_others_are_served_meanwhile(told: dict[str, Any]) -> None:
    for name in ("meanwhile", "listed meanwhile"):
        assert told[name]["status"] == 200
        assert told[name]["seconds"] < 10, "it waited for those who wait"


def test_a_quiet_wait_ends_with_where_to_go_on(told: dict[str, Any]) -> None:
    assert told["quiet"]["status"] == 200
    assert "event:" not in told["quiet"]["text"]
    assert "id: " in told["quiet"]["text"]
