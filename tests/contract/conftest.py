"""Fixtures of the contract suites: Azurite, and both training services."""

import importlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceExistsError, ServiceRequestError
from azure.storage.blob import BlobServiceClient

from tests.contract.backend import CONTAINERS, Backend

_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that Azurite's documentation publishes."""

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]

_WARNINGS_OF_AZURE_AI_ML = (
    # Its YAML schemas are declared in ways that marshmallow 4 will not know; it asks for marshmallow 3.
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    "ignore:datetime.datetime.utcnow:DeprecationWarning:azure.ai.ml._telemetry.activity",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let azure-ai-ml be as it is: everywhere else a warning is an error."""
    for item in items:
        if item.path.is_relative_to(_FOLDER):
            for warning in _WARNINGS_OF_AZURE_AI_ML:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Run Azurite, in memory, for this session; the value is its connection string."""
    ports = dict(zip(("blob", "queue", "table"), _free_ports(3), strict=True))
    command = [str(_ROOT / "node_modules/.bin/azurite"), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
    for name, port in ports.items():
        command += [f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    endpoints = "".join(
        f"{name.title()}Endpoint=http://127.0.0.1:{port}/devstoreaccount1;" for name, port in ports.items()
    )
    storage = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_KEY};{endpoints}"
    try:
        _make_containers(storage, process)
        yield storage
    finally:
        # It keeps nothing that is worth an orderly end, which would wait for every open connection.
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module", params=["local", "azure_ml"])
def backend(
    request: pytest.FixtureRequest, azurite: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Run one training service after the other, each for the whole module."""
    module = importlib.import_module(f"tests.contract.{request.param}_backend")
    with module.running(tmp_path_factory.mktemp(request.param), azurite) as backend:
        yield backend


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _make_containers(storage: str, process: subprocess.Popen[bytes]) -> None:
    """Make the containers that Kedja has, as soon as Azurite answers."""
    until = time.monotonic() + 60
    with BlobServiceClient.from_connection_string(storage, retry_total=0) as client:
        while True:
            try:
                for name in CONTAINERS:
                    client.create_container(name)
            except ServiceRequestError:
                assert process.poll() is None, "Azurite ended: is `npm ci` done?"
                assert time.monotonic() < until, "Azurite did not answer within 60 s"
                time.sleep(0.1)
            except ResourceExistsError:
                return
            else:
                return
