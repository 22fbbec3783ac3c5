"""Fixtures of the contract suites: Azurite, and both training services."""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local_azure.storage.azurite import running_azurite
from tests.contract.backend import CONTAINERS, Backend

_FOLDER = f"{Path(__file__).parent}{os.sep}"

_WITH_A_PROCESS = {
    "test_app",
    "test_azure_ml_calls",
    "test_control_plane",
    "test_http_through_worker",
    "test_links",
    "test_live_through_worker",
}
"""Modules whose tests share something that is slow to start."""

_WARNINGS_OF_AZURE_AI_ML = (
    # Its YAML schemas are declared in ways that marshmallow 4 will not know; it asks for marshmallow 3.
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    "ignore:datetime.datetime.utcnow:DeprecationWarning:azure.ai.ml._telemetry.activity",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let azure-ai-ml be as it is: everywhere else a warning is an error.

    Under `--dist loadgroup` one worker does all that shares a training service, and one what shares a module's process.
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
    return item.path.stem if item.path.stem in _WITH_A_PROCESS else None


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
