"""Azure ML's adapter over a stand-in of the control plane that sees every call."""

import re
from collections.abc import Iterator

import pytest

from function_app.azure.ml_service import AzureMLService
from tests.contract import azure_ml_backend
from tests.contract.azure_ml_backend import AzureMLBackend
from tests.contract.control_plane.plane import ControlPlane


@pytest.fixture(scope="session")
def azure(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureMLBackend]:
    with azure_ml_backend.running(tmp_path_factory.mktemp("calls"), azurite) as backend:
        yield backend


@pytest.fixture
def plane(azure: AzureMLBackend) -> Iterator[ControlPlane]:
    yield azure.plane
    azure.plane.clear()


@pytest.fixture
def service(azure: AzureMLBackend) -> AzureMLService:
    return azure.service


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A job's name that no other test uses. The client library makes it lower case, as Kedja's are."""
    return re.sub("[^a-z0-9]+", "-", str(request.node.name).lower()).strip("-")
