import json
import sys
from pathlib import Path

import pytest
from attrs import evolve
from azure.core.exceptions import ResourceExistsError
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.settings import STORAGE, Settings
from function_app.timing import Timing
from local_azure.stack import stack as module
from local_azure.stack.stack import PortInUseError, Ports, Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(root=tmp_path, state=tmp_path / "state", training_python=Path(sys.executable), quiet_period=3)


def test_the_ports_are_those_that_people_know() -> None:
    assert Ports().named() == {
        "blob": 10000,
        "queue": 10001,
        "table": 10002,
        "functions": 7071,
        "mlflow": 5000,
        "event_grid": 6500,
        "azurite": 20000,
    }


def test_a_port_in_use_is_named_with_the_option_that_changes_it(mocker: MockerFixture) -> None:
    socket = mocker.patch("local_azure.stack.stack.socket.socket")
    bind = socket.return_value.__enter__.return_value.bind
    bind.side_effect = lambda address: (_ for _ in ()).throw(OSError("in use")) if address[1] == 6500 else None
    with pytest.raises(PortInUseError, match=r"Port 6500 \(event_grid\) is in use.*--event-grid-port 6501"):
        Ports().check_free()


def test_the_settings_are_those_that_the_service_reads(stack: Stack) -> None:
    values = json.loads(stack.write_settings().read_text())["Values"]
    settings = Settings.read(values)
    assert settings.quiet_period == 3
    assert settings.auth == "local"
    assert settings.training_service == "local_azure.training.service:connect"
    assert settings.event_grid_endpoint == "http://127.0.0.1:6500/topics/kedja/api/events"
    assert "BlobEndpoint=http://127.0.0.1:10000/" in values[STORAGE]
    assert values["PYTHON_SCRIPT_FILE_NAME"] == "app.py"


def test_the_timing_is_what_the_service_reads(stack: Stack) -> None:
    assert Settings.read(stack.settings()).timing == Timing()
    short = evolve(stack, timing={"copy_check": 0.5, "lease": 15})
    assert Settings.read(short.settings()).timing == Timing(copy_check=0.5, lease=15)


def test_blobs_go_through_the_proxy_and_the_proxy_to_azurite(stack: Stack) -> None:
    commands = {part.name: list(part.command) for part in stack.storage_processes()}
    assert commands["azurite"][commands["azurite"].index("--blobPort") + 1] == "20000"
    assert commands["storage-proxy"][commands["storage-proxy"].index("--port") + 1] == "10000"
    assert commands["storage-proxy"][commands["storage-proxy"].index("--upstream") + 1] == "http://127.0.0.1:20000"


def test_it_provisions_what_bicep_does(stack: Stack, mocker: MockerFixture) -> None:
    blobs = mocker.patch.object(module, "BlobServiceClient").from_connection_string.return_value.__enter__.return_value
    queues = mocker.patch.object(
        module, "QueueServiceClient"
    ).from_connection_string.return_value.__enter__.return_value
    blobs.create_container.side_effect = [ResourceExistsError(), *[None] * 20]
    queues.create_queue.side_effect = [ResourceExistsError(), *[None] * 20]
    stack.provision()
    made = [call.args[0] for call in blobs.create_container.call_args_list]
    assert set(made) == {*naming.CONTAINERS, "azureml"}
    made = [call.args[0] for call in queues.create_queue.call_args_list]
    assert set(made) == {name for queue in naming.QUEUES for name in (queue, f"{queue}-poison")}


def test_as_many_jobs_run_at_once_as_it_is_told(stack: Stack) -> None:
    (runner,) = [
        list(part.command) for part in evolve(stack, concurrency=3).service_processes() if "runner" in part.name
    ]
    assert runner[runner.index("--concurrency") + 1] == "3"
