"""Fixtures of the contract suites: Azurite, storage accounts, and both training services."""

import importlib
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from function_app.azure.storage import StorageAccount
from function_app.ports.storage import Blobs
from function_app.ports.training_service import Job, JobStatus, TrainingService
from local_azure.storage.azurite import running_azurite
from tests.contract.backend import CONTAINERS, Backend
from tests.contract.storage_accounts import Account, InMemory, OverAzurite
from tests.unit.memory import MemoryBlobs, MemoryQueues, VirtualClock

_FOLDER = f"{Path(__file__).parent}{os.sep}"

_WITH_A_PROCESS = {
    "azure_ml",
    "test_app",
    "test_control_plane",
    "test_http_through_worker",
    "test_links",
    "test_live_through_worker",
}
"""Modules and folders whose tests share something that is slow to start."""

_numbers = itertools.count(1)

_WARNINGS_OF_AZURE_AI_ML = (
    # Its YAML schemas are declared in ways that marshmallow 4 will not know; it asks for marshmallow 3.
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    "ignore:datetime.datetime.utcnow:DeprecationWarning:azure.ai.ml._telemetry.activity",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let azure-ai-ml be as it is: everywhere else a warning is an error.

    Under `--dist loadgroup` one worker runs all that shares a training service, or the process of a module or folder.
    """
    for item in items:
        if str(item.path).startswith(_FOLDER):  # a path's own comparison takes a second for the tests of other folders
            for warning in _WARNINGS_OF_AZURE_AI_ML:
                item.add_marker(pytest.mark.filterwarnings(warning))
            if group := _group(item):
                item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "backend" in callspec.params:
        return f"training service {callspec.params['backend']}"
    return next((name for name in (item.path.stem, item.path.parent.name) if name in _WITH_A_PROCESS), None)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Azurite, with the containers that Kedja has, for this session; the value is its connection string."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as account:
        with BlobServiceClient.from_connection_string(account.connection_string) as client:
            for name in CONTAINERS:
                client.create_container(name)
        yield account.connection_string


@pytest.fixture(scope="session", params=["local", "azure_ml"])
def backend(
    request: pytest.FixtureRequest, azurite: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Run one training service after the other, each for the whole session: MLflow takes long to start."""
    module = importlib.import_module(f"tests.contract.{request.param}_backend")
    with module.running(tmp_path_factory.mktemp(request.param), azurite) as backend:
        yield backend


@pytest.fixture(params=["memory", "azurite"])
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    if request.param == "memory":
        clock = VirtualClock(datetime.now(UTC))
        yield InMemory(clock=clock, blobs=MemoryBlobs(clock), queues=MemoryQueues(clock))
        return
    connection = cast("str", request.getfixturevalue("azurite"))
    storage = StorageAccount.connect({"Storage": connection}, None, prefix="Storage")
    name = f"contract-{next(_numbers)}"
    with (
        BlobServiceClient.from_connection_string(connection) as service,
        QueueClient.from_connection_string(connection, name, message_decode_policy=TextBase64DecodePolicy()) as client,
        storage.blobs.client,
        storage.queues.client,
    ):
        service.create_container(name)
        client.create_queue()
        yield OverAzurite(
            service=service, client=client, blobs=storage.blobs, queues=storage.queues, container=name, queue=name
        )


@pytest.fixture
def blobs(account: Account) -> Blobs:
    return account.blobs


@pytest.fixture
def box(account: Account) -> str:
    """Return the container's name."""
    return account.container


@pytest.fixture
def name() -> str:
    """A job's name that no other test uses."""
    return f"digits-0123456789abcdef-{next(_numbers)}"


@pytest.fixture
def model() -> str:
    return f"digits-model-{next(_numbers)}"


@pytest.fixture
def service(backend: Backend) -> TrainingService:
    return backend.service


def completed(backend: Backend, name: str) -> Job:
    """Run a job that leaves a model behind."""
    backend.service.submit(backend.job(name, outputs={"model.npz": b"weights", "plots/loss.txt": b"0.1"}))
    return backend.run_until(name, JobStatus.COMPLETED)


@pytest.fixture(scope="session")
def jobs(backend: Backend) -> tuple[str, str]:
    """Return the names of two jobs that have left a model each, for tests that change neither."""
    names = ("digits-of-all-1", "digits-of-all-2")
    for each in names:
        completed(backend, each)
    return names


@pytest.fixture
def job(jobs: tuple[str, str]) -> str:
    """Return the name of a job that has left a model."""
    return jobs[0]
