"""The HTTP API behind the worker library that runs in production: indexed, loaded and called as the host does.

The library holds one app a process, so the requests are sent in a process of their own.
"""

import json
import os
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;QueueEndpoint=http://127.0.0.1:1/devstoreaccount1"
)

SEND = """
import asyncio, json, sys
from pathlib import Path

import httpx
from local_azure.functions_host.http_trigger import HttpDispatcher, HttpTrigger
from local_azure.functions_host.worker import Worker


async def main():
    worker = await Worker.start(Path(sys.argv[1]))
    lazy = "fastapi" not in sys.modules and "function_app.container" not in sys.modules
    trigger = HttpTrigger.of(worker.function("http_api"), "")
    transport = httpx.ASGITransport(HttpDispatcher(worker, [trigger], homepage=False))
    answers = []
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7071") as client:
        for request in json.loads(sys.argv[2]):
            answer = await client.request(**request)
            answers.append([answer.status_code, dict(answer.headers), answer.text])
    worker.stop()
    print(json.dumps({"functions": [f.name for f in worker.functions], "lazy": lazy, "answers": answers}))


asyncio.run(main())
"""

REQUESTS: list[dict[str, Any]] = [
    {"method": "GET", "url": "/api/health"},
    {"method": "GET", "url": "/api/compute"},
    {"method": "GET", "url": "/api/jobs/%C3%B6?x=%2F"},
    {"method": "DELETE", "url": "/api/jobs"},
    {"method": "POST", "url": "/api/jobs", "json": {"experiment_name": "digits", "comptue": "x"}},
    {"method": "OPTIONS", "url": "/api/events", "headers": {"WebHook-Request-Origin": "eventgrid.azure.net"}},
    {"method": "POST", "url": "/api/events", "json": [{"id": "1", "eventType": "com.example.else"}]},
    {"method": "POST", "url": "/api/events", "content": "x" * 5000, "headers": {"content-type": "text/plain"}},
    {"method": "GET", "url": "/nothing"},
    {"method": "GET", "url": "/api/openapi.json"},
]


def start(requests: list[dict[str, Any]], folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("KEDJA_", "WEBSITE_"))},
        "PYTHONPATH": str(ROOT),
        "PYTHON_SCRIPT_FILE_NAME": "app.py",
        "KedjaStorage": STORAGE,
        "KEDJA_TRAINING_SERVICE": "local_azure.training.service:connect",
        "KEDJA_LOCAL_TRAINING": str(folder),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        **settings,
    }
    command = [sys.executable, "-c", SEND, str(ROOT), json.dumps(requests)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Send all requests; return what came of them."""
    process = start(REQUESTS, tmp_path_factory.mktemp("training"), KEDJA_AUTH="local")
    assert process.returncode == 0, process.stderr
    assert "Exception ignored" not in process.stderr, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def answer(told: dict[str, Any], method: str, url: str) -> tuple[int, dict[str, str], Any]:
    number = next(n for n, one in enumerate(REQUESTS) if (one["method"], one["url"]) == (method, url))
    status, headers, text = told["answers"][number]
    return status, headers, json.loads(text) if text else None


def test_the_api_is_one_function_among_the_others(told: dict[str, Any]) -> None:
    assert "http_api" in told["functions"]
    assert "on_settled" in told["functions"]


def test_indexing_imports_neither_the_framework_nor_the_service(told: dict[str, Any]) -> None:
    assert told["lazy"] is True


def test_an_answer_comes_through(told: dict[str, Any]) -> None:
    status, headers, body = answer(told, "GET", "/api/health")

    assert status == HTTPStatus.OK
    assert headers["content-type"] == "application/json"
    assert body["status"] == "ok"


def test_the_service_is_connected_when_a_request_needs_it(told: dict[str, Any]) -> None:
    status, _, body = answer(told, "GET", "/api/compute")

    assert status == HTTPStatus.OK
    assert body["items"]


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "/api/jobs/%C3%B6?x=%2F", HTTPStatus.NOT_FOUND),
        ("GET", "/nothing", HTTPStatus.NOT_FOUND),
        ("DELETE", "/api/jobs", HTTPStatus.METHOD_NOT_ALLOWED),
        ("POST", "/api/jobs", HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
def test_a_problem_comes_through(told: dict[str, Any], method: str, url: str, expected: HTTPStatus) -> None:
    status, headers, body = answer(told, method, url)

    assert status == body["status"] == expected
    assert headers["content-type"] == "application/problem+json"


def test_a_body_comes_through(told: dict[str, Any]) -> None:
    assert "comptue" in answer(told, "POST", "/api/jobs")[2]["problems"][0]["key"]
    assert answer(told, "POST", "/api/events")[2] == {"received": 1, "accepted": 0, "ignored": 1}


def test_a_handshake_comes_through(told: dict[str, Any]) -> None:
    status, headers, _ = answer(told, "OPTIONS", "/api/events")

    assert status == HTTPStatus.OK
    assert headers["webhook-allowed-origin"] == "eventgrid.azure.net"


def test_the_description_comes_through(told: dict[str, Any]) -> None:
    assert "/api/jobs" in answer(told, "GET", "/api/openapi.json")[2]["paths"]


@pytest.mark.parametrize("auth", ["", "local"])
def test_an_open_app_does_not_start_in_azure(tmp_path: Path, auth: str) -> None:
    process = start([], tmp_path, KEDJA_AUTH=auth, WEBSITE_SITE_NAME="kedja")

    assert process.returncode != 0
    assert "InvalidSettings" in process.stderr
    assert "KEDJA_AUTH" in process.stderr
