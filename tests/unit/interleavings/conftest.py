"""A drop that two hosts, or a host and a person, work on at once."""

import pytest

from tests.unit.simulation import World


@pytest.fixture
def dropped(world: World) -> World:
    """Return a world with a drop that nobody has been told of."""
    world.drop("scripts/digits/train.py", b"print(1)\n", times=0)
    world.drop("data/digits/digits.npz", b"digits", times=0)
    world.clock.advance(60)
    return world
