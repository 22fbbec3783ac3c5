"""Rounds of the timer in a world."""

from function_app.timing import Timing
from tests.unit.simulation import World

TIMING = Timing()


def rounds(world: World, number: int = 1) -> None:
    for _ in range(number):
        world.clock.advance(300)
        world.reconcile()
        world.rest()
