"""Fixtures of the contract suites: Azurite, and both training services."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from local_azure.azurite import running_azurite
from tests.contract.backend import CONTAINERS, Backend

_FOLDER = Path(__file__).parent

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
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Azurite, with the containers that Kedja has, for this session; the value is its connection string."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as account:
        with BlobServiceClient.from_connection_string(account.connection_string) as client:
            for name in CONTAINERS:
                client.create_container(name)
        yield account.connection_string


@pytest.fixture(scope="module", params=["local", "azure_ml"])
def backend(
    request: pytest.FixtureRequest, azurite: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Run one training service after the other, each for the whole module."""
    module = importlib.import_module(f"tests.contract.{request.param}_backend")
    with module.running(tmp_path_factory.mktemp(request.param), azurite) as backend:
        yield backend
