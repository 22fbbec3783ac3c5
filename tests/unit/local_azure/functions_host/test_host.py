import asyncio
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import httpx
import pytest
from pytest_mock import MockerFixture

from local_azure.clock import SystemClock
from local_azure.errors import LocalAzureError
from local_azure.functions_host import host as module
from local_azure.functions_host.host import FunctionsHost, HostOptions
from local_azure.functions_host.queue_listener import QueueTrigger
from local_azure.functions_host.settings import HostSettings, QueueOptions
from local_azure.functions_host.worker import Function, Invocation, Worker

STORAGE = "UseDevelopmentStorage=true"
QUEUE = Function(
    name="on_drop",
    id="1",
    bindings=({"type": "queueTrigger", "name": "m", "queueName": "%NAME%", "connection": "Storage"},),
)
TIMER = Function(name="tick", id="2", bindings=({"type": "timerTrigger", "name": "t", "schedule": "0 */5 * * * *"},))
EVENT = Function(name="receive", id="3", bindings=({"type": "eventGridTrigger", "name": "e"},))
HTTP = Function(
    name="hello", id="4", bindings=({"type": "httpTrigger", "name": "req"}, {"type": "http", "name": "$return"})
)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Storage", STORAGE)
    monkeypatch.setenv("NAME", "drops")


@pytest.fixture
def options(tmp_path: Path) -> HostOptions:
    return HostOptions(root=tmp_path, state=tmp_path, message_lease=30)


def worker_with(mocker: MockerFixture, *functions: Function) -> MagicMock:
    worker: MagicMock = mocker.create_autospec(Worker, instance=True)
    by_name = Worker(functions)
    worker.functions = functions
    worker.function.side_effect = by_name.function
    worker.invoke.return_value = Invocation(id="1", succeeded=True)
    return worker


def host_with(mocker: MockerFixture, options: HostOptions, *functions: Function) -> tuple[FunctionsHost, MagicMock]:
    worker = worker_with(mocker, *functions)
    return FunctionsHost(worker, HostSettings(queues=QueueOptions(batch_size=2)), options, SystemClock()), worker


def ask(host: FunctionsHost, method: str, url: str, **request: object) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=host.app()), base_url="http://local") as client:
            return await client.request(method, url, **request)  # type: ignore[arg-type]

    return asyncio.run(run())


def test_a_queue_trigger_listens_with_the_settings_of_host_json_and_the_lease(
    mocker: MockerFixture, options: HostOptions
) -> None:
    listener = mocker.patch.object(module, "QueueListener", autospec=True)
    host_with(mocker, options, QUEUE)
    trigger: QueueTrigger = listener.call_args.args[0]
    assert trigger.queue.queue_name == "drops"
    assert trigger.poison is not None
    assert trigger.poison.queue_name == "drops-poison"
    assert (trigger.lease, trigger.options.batch_size) == (30, 2)


def test_a_poison_queue_has_no_poison_queue(
    mocker: MockerFixture, options: HostOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "drops-poison")
    listener = mocker.patch.object(module, "QueueListener", autospec=True)
    host_with(mocker, options, QUEUE)
    assert listener.call_args.args[0].poison is None


@pytest.mark.parametrize(
    ("schedule", "binding", "kept"),
    [("0 * * * * *", {}, True), ("*/10 * * * * *", {}, False), ("0 * * * * *", {"useMonitor": False}, False)],
)
def test_a_timer_keeps_a_status_unless_it_is_told_not_to_or_too_frequent(
    mocker: MockerFixture, options: HostOptions, schedule: str, binding: dict[str, object], *, kept: bool
) -> None:
    listener = mocker.patch.object(module, "TimerListener", autospec=True)
    timer = {"type": "timerTrigger", "name": "t", "schedule": schedule, "runOnStartup": True, **binding}
    host_with(mocker, options, Function(name="tick", id="1", bindings=(timer,)))
    trigger = listener.call_args.args[0]
    assert (trigger.file is not None) is kept
    assert trigger.run_on_startup is True


@pytest.mark.parametrize(
    "bindings",
    [
        ({"type": "blobTrigger", "name": "b", "path": "x"},),
        ({"type": "timerTrigger", "name": "t", "schedule": "0 * * * * *"}, {"type": "queue", "name": "out"}),
        ({"type": "timerTrigger", "name": "t", "schedule": "00:05:00"},),
        ({"type": "queueTrigger", "name": "q", "queueName": "drops", "connection": "Missing"},),
    ],
)
def test_what_is_not_modelled_or_wrong_is_refused_at_start(
    mocker: MockerFixture, options: HostOptions, bindings: tuple[dict[str, object], ...]
) -> None:
    with pytest.raises(LocalAzureError):
        host_with(mocker, options, Function(name="odd", id="1", bindings=bindings))


def test_a_disabled_function_has_no_listener_and_no_route_and_can_be_started_by_hand(
    mocker: MockerFixture, options: HostOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in (QUEUE, TIMER, HTTP):
        monkeypatch.setenv(f"AzureWebJobs.{function.name}.Disabled", "true")
    host, worker = host_with(mocker, options, QUEUE, TIMER, HTTP)
    assert host.listeners() == []
    assert ask(host, "GET", "/api/hello").status_code == 404
    assert ask(host, "POST", "/admin/functions/tick", json={"input": ""}).status_code == 202
    assert worker.invoke.call_args.args[0] == "tick"
    monkeypatch.setenv("AzureWebJobs.tick.Disabled", "false")
    host, _ = host_with(mocker, options, QUEUE, TIMER, HTTP)
    assert len(host.listeners()) == 1


def test_the_status_names_the_functions(mocker: MockerFixture, options: HostOptions) -> None:
    host, _ = host_with(mocker, options, QUEUE, TIMER)
    assert ask(host, "GET", "/admin/host/status").json() == {
        "state": "Running",
        "functions": [{"name": "on_drop", "trigger": "queueTrigger"}, {"name": "tick", "trigger": "timerTrigger"}],
    }


@pytest.mark.parametrize(
    ("name", "text", "kind", "value"),
    [
        ("on_drop", "by hand", "string", "by hand"),
        ("receive", '{"id": "1"}', "json", '{"id": "1"}'),
        ("tick", "", "json", '{"Schedule": {"AdjustForDST": true}, "ScheduleStatus": null, "IsPastDue": false}'),
    ],
)
def test_a_function_is_started_by_hand(
    mocker: MockerFixture, options: HostOptions, name: str, text: str, kind: str, value: str
) -> None:
    host, worker = host_with(mocker, options, QUEUE, TIMER, EVENT)
    assert ask(host, "POST", f"/admin/functions/{name}", json={"input": text}).status_code == 202
    called, data = worker.invoke.call_args.args
    assert (called, getattr(data, kind)) == (name, value)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("nobody", b'{"input": ""}', 404),
        ("hello", b'{"input": ""}', 400),
        ("tick", b"no json", 400),
        ("tick", b'{"input": 1}', 400),
        ("tick", b"[]", 400),
        ("receive", b'{"input": "no json"}', 400),
    ],
)
def test_what_cannot_be_started_by_hand_is_refused(
    mocker: MockerFixture, options: HostOptions, name: str, content: bytes, status: int
) -> None:
    host, worker = host_with(mocker, options, TIMER, EVENT, HTTP)
    assert ask(host, "POST", f"/admin/functions/{name}", content=content).status_code == status
    worker.invoke.assert_not_called()


def start(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "local_azure.functions_host", *arguments]
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[4])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_wrong_start_is_one_line_and_status_1(tmp_path: Path) -> None:
    ended = start("--root", str(tmp_path), "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"{tmp_path / 'host.json'} cannot be read: No such file or directory.\n"


def test_a_lease_of_nothing_is_refused() -> None:
    ended = start("--message-lease", "0")
    assert ended.returncode == 2
    assert "at least 1 second" in ended.stderr
