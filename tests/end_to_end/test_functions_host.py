"""The Functions host as a process, with a FastAPI app, over a real Azurite."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from attrs import frozen
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local_azure.storage.azurite import AzuriteAccount, running_azurite

REPOSITORY = Path(__file__).parents[2]
LEASE = 10  # seconds

APP = """
import logging
import os
import time
from pathlib import Path

import azure.functions as func
from fastapi import FastAPI, Request, Response

api = FastAPI()
notes = Path("notes.txt")


def note(line):
    with notes.open("a") as file:
        file.write(line + "\\n")


@api.api_route("/echo/{name}", methods=["GET", "HEAD", "POST", "OPTIONS"])
async def echo(name: str, request: Request) -> Response:
    seen = {"x-seen": f"{name}?{request.url.query}"}
    response = Response(await request.body() or b"empty", 201, seen, "application/octet-stream")
    response.set_cookie("a", "1", httponly=True, samesite="strict")
    response.set_cookie("b", "2", max_age=60)
    return response


app = func.AsgiFunctionApp(app=api, http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("on_drop")
@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="Storage")
def on_drop(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    note(f"{text} {message.dequeue_count} began")
    if text == "bad":
        raise ValueError("bad drop")
    if text == "slow":
        time.sleep(2)
    if text == "stuck" and message.dequeue_count == 1:
        time.sleep(600)
    note(f"{text} {message.dequeue_count} ended")
    print("printed by the function")


@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def tick(timer: func.TimerRequest) -> None:
    note(f"tick {timer.past_due} {timer.schedule_status['Next'][5:10]}")


@app.function_name("receive")
@app.event_grid_trigger(arg_name="event")
async def receive(event: func.EventGridEvent) -> None:
    if event.id == "bad":
        raise ValueError("bad event")
    note(f"event {event.id} {event.get_json()['n']}")
"""


@frozen(kw_only=True)
class Host:
    """A running host: its process, address, folder and queues."""

    process: "subprocess.Popen[str]"
    address: str
    root: Path
    queue: QueueClient
    poison: QueueClient
    ready_line: str

    def notes(self) -> list[str]:
        file = self.root / "notes.txt"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteAccount]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as account:
        yield account


@pytest.fixture
def root(tmp_path: Path, account: AzuriteAccount) -> Path:
    queues = {"visibilityTimeout": "00:00:00", "maxDequeueCount": 2, "maxPollingInterval": "00:00:00.5"}
    host_json = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}, "queues": queues}}
    values = {
        "PYTHON_SCRIPT_FILE_NAME": "app.py",
        "AzureWebJobsDisableHomepage": "true",
        "Storage": account.connection_string,
        "QUEUE": f"drops-{uuid.uuid4().hex[:8]}",
    }
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "host.json").write_text(json.dumps(host_json))
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    return tmp_path


@contextlib.contextmanager
def running_host(root: Path) -> Iterator[Host]:
    values = json.loads((root / "local.settings.json").read_text())["Values"]
    command = [sys.executable, "-m", "local_azure.functions_host", "--root", str(root), "--port", "0"]
    command += ["--settings", str(root / "local.settings.json"), "--message-lease", str(LEASE)]
    with (
        (root / "host.log").open("a") as log,
        QueueClient.from_connection_string(
            values["Storage"], values["QUEUE"], message_encode_policy=TextBase64EncodePolicy()
        ) as queue,
        QueueClient.from_connection_string(values["Storage"], values["QUEUE"] + "-poison") as poison,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=REPOSITORY) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready = re.fullmatch(r"Functions .* ready at (http://127\.0\.0\.1:\d+)\n", line)
            assert ready, (root / "host.log").read_text()
            yield Host(
                process=process, address=ready[1], root=root, queue=queue, poison=poison, ready_line=line.rstrip()
            )
        finally:
            process.kill()


@pytest.fixture
def host(root: Path) -> Iterator[Host]:
    with running_host(root) as running:
        yield running


def wait_for(true: Callable[[], bool], host: Host, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, (host.notes(), (host.root / "host.log").read_text())
        time.sleep(0.05)


def poisoned(host: Host) -> list[str]:
    try:
        return sorted(message.content for message in host.poison.peek_messages(32))
    except ResourceNotFoundError:
        return []


def is_empty(queue: QueueClient) -> bool:
    return queue.get_queue_properties().approximate_message_count == 0


def test_http_goes_both_ways_unchanged(host: Host) -> None:
    assert host.ready_line.startswith("Functions http_app_func, on_drop, tick, receive ready at ")
    with httpx.Client(base_url=host.address) as client:
        answer = client.post("/echo/b%20c?x=1&x=%2F", content=b"\x00\xff")
        assert (answer.status_code, answer.content) == (201, b"\x00\xff")
        assert answer.headers["x-seen"] == "b c?x=1&x=%2F"
        a, b = answer.headers.get_list("set-cookie")
        assert a.startswith("a=1;")
        assert "HttpOnly" in a
        assert "SameSite=strict" in a
        assert "Max-Age=60" in b
        assert client.options("/echo/x").status_code == 201
        head = client.head("/echo/x")
        assert (head.status_code, head.content, head.headers["content-length"]) == (201, b"", "5")
        assert client.get("/").json() == {"detail": "Not Found"}  # from the app: the homepage is off
        assert client.get("/admin/host/status").json()["state"] == "Running"


def test_queue_messages_are_run_once_or_end_in_the_poison_queue(host: Host) -> None:
    time.sleep(0.5)  # the host has met the missing queue by now, and continues to look
    host.queue.create_queue()
    host.queue.send_message("good")
    host.queue.send_message("bad")
    plain = QueueClient.from_connection_string(
        json.loads((host.root / "local.settings.json").read_text())["Values"]["Storage"], host.queue.queue_name
    )
    with plain:
        plain.send_message("not base64!")
    wait_for(lambda: len(poisoned(host)) == 2 and is_empty(host.queue), host)
    assert poisoned(host) == ["YmFk", "not base64!"]
    assert sorted(host.notes()) == ["bad 1 began", "bad 2 began", "good 1 began", "good 1 ended"]


def test_what_a_kill_interrupts_comes_back_when_its_lease_ends(root: Path) -> None:
    with running_host(root) as host:
        host.queue.create_queue()
        host.queue.send_message("stuck")
        wait_for(lambda: host.notes() == ["stuck 1 began"], host)
        time.sleep(LEASE + 1)  # renewed meanwhile: nobody else gets it
        assert host.notes() == ["stuck 1 began"]
        host.process.kill()
        host.process.wait()
    with running_host(root) as host:
        wait_for(lambda: is_empty(host.queue), host)
        assert host.notes() == ["stuck 1 began", "stuck 2 began", "stuck 2 ended"]


def test_a_stop_takes_no_more_work_and_waits_for_what_runs(host: Host) -> None:
    host.queue.create_queue()
    host.queue.send_message("slow")
    wait_for(lambda: host.notes() == ["slow 1 began"], host)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 0
    assert host.notes() == ["slow 1 began", "slow 1 ended"]
    assert is_empty(host.queue)
    assert host.process.stdout is not None
    assert host.process.stdout.read() == ""  # after the ready line; what functions print is in the log
    log = (host.root / "host.log").read_text()
    assert "printed by the function" in log
    assert re.search(r"INFO +\[on_drop [0-9a-f-]{36}\] Succeeded in \d+ ms\.", log)


def test_a_stop_does_not_wait_for_ever(host: Host) -> None:
    host.queue.create_queue()
    host.queue.send_message("stuck")
    wait_for(lambda: host.notes() == ["stuck 1 began"], host)
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(20) == 0


def test_events_reach_their_function_and_a_timer_can_be_poked(host: Host) -> None:
    event = {
        "id": "1",
        "topic": "/t",
        "subject": "/s",
        "eventType": "x",
        "eventTime": "2026-11-23T00:00:00Z",
        "data": {"n": 7},
        "dataVersion": "1",
        "metadataVersion": "1",
    }
    webhook = "/runtime/webhooks/EventGrid?functionName=receive"
    notification = {"aeg-event-type": "Notification"}
    with httpx.Client(base_url=host.address) as client:
        both = client.post(webhook, json=[event, {**event, "id": "2"}], headers=notification)
        bad = client.post(webhook, json=[{**event, "id": "bad"}], headers=notification)
        poked = client.post("/admin/functions/tick", json={"input": ""})
    assert (both.status_code, bad.status_code, poked.status_code) == (202, 500, 202)
    wait_for(lambda: len(host.notes()) == 3, host)
    assert sorted(host.notes()) == ["event 1 7", "event 2 7", "tick False 01-01"]


def test_a_timer_missed_while_down_runs_at_start(root: Path) -> None:
    with running_host(root):
        pass
    status = root / ".kedja" / "timers" / "tick.json"
    kept = json.loads(status.read_text())
    # As if the last run had been a year and more ago.
    status.write_text(json.dumps({**kept, "LastUpdated": "2020-06-01T00:00:00+00:00", "Next": "2021-01-01T00:00:00Z"}))
    with running_host(root) as host:
        wait_for(lambda: host.notes() == ["tick True 01-01"], host)
