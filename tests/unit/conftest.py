"""Fixtures of the unit tests: the service over ports in memory. No test here opens a socket."""

import sys

import pytest
from pytest_mock import MockerFixture

from function_app.operations.service import Kedja
from tests.unit.crash_ports import InOrder
from tests.unit.memory import MemoryBlobs, MemoryQueues, VirtualClock
from tests.unit.memory_training import MemoryPublisher, MemoryTraining
from tests.unit.simulation import World


@pytest.fixture
def world() -> World:
    """Return a world with a service in it, and nothing dropped yet."""
    return World.make()


@pytest.fixture
def clock(world: World) -> VirtualClock:
    return world.clock


@pytest.fixture
def blobs(world: World) -> MemoryBlobs:
    return world.blobs


@pytest.fixture
def queues(world: World) -> MemoryQueues:
    return world.queues


@pytest.fixture
def training(world: World) -> MemoryTraining:
    return world.training


@pytest.fixture
def publisher(world: World) -> MemoryPublisher:
    return world.publisher


@pytest.fixture
def kedja(world: World) -> Kedja:
    return world.kedja


@pytest.fixture
def in_order(request: pytest.FixtureRequest, mocker: MockerFixture) -> None:
    """Have the service do one by one what it otherwise does at once; a parameter says in which order."""
    order: type[InOrder] = getattr(request, "param", InOrder)
    for name, module in list(sys.modules.items()):
        if name.startswith("function_app.") and hasattr(module, "ThreadPoolExecutor"):
            mocker.patch.object(module, "ThreadPoolExecutor", order)
