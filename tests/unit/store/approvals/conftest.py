"""A service that asks for approvals, and a client of it."""

import pytest

from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World


@pytest.fixture
def world() -> World:
    return World.make(approvals="required")


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))
