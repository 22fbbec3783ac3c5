"""Killed at any call of any port: over within ten minutes, with the real host's timings, under a virtual clock.

The message of a killed host comes again when its lease of ten minutes ends, one that failed after thirty seconds, and
reconcile runs every five minutes. Jobs take no time here, so that what is measured is Kedja's own.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from attrs import frozen

from function_app.receipt import FINAL
from function_app.training_service import JobStatus
from tests.unit.mortal import Fate, doom
from tests.unit.world import World

LEASE = timedelta(minutes=10)
RECONCILE = timedelta(minutes=5)
LIMIT = timedelta(minutes=10)
_END = timedelta(hours=2)


@frozen(kw_only=True)
class Story:
    """When a drop was killed and when it was over, and whether the process lived longer than the drop."""

    killed: datetime | None
    over: datetime
    began: datetime

    @property
    def recovery(self) -> timedelta:
        return self.over - (self.killed or self.over)


def story(at: int, first_round: float) -> Story:
    """Drop digits before a process that dies at its `at`-th call; the timer is due first in so many seconds."""
    world, fate = World.make(), Fate(at)
    doom(world, fate)
    began = world.clock()
    timer = began + timedelta(seconds=first_round)
    killed: datetime | None = None
    world.drop_digits()
    while not _is_over(world):
        assert world.clock() - began < _END, f"killed at call {at}, it is not over after {_END}"
        for job in world.live_jobs():
            if job.status is JobStatus.STARTING:
                world.training.move(job.name, JobStatus.RUNNING)
            world.training.finish(job.name)
        message = min(world.queues.messages, key=lambda one: one.visible, default=None)
        if message is None or message.visible > timer:
            world.clock.now = max(world.clock.now, timer)
            world.reconcile()
            timer += RECONCILE
        else:
            world.clock.now = max(world.clock.now, message.visible)
            world.deliver(message)
            if fate.dead and killed is None:
                message.visible = world.clock() + LEASE
        if fate.dead and killed is None:
            killed = world.clock()
    return Story(killed=killed, over=world.clock(), began=began)


def _is_over(world: World) -> bool:
    receipts = world.receipts()
    ended = bool(receipts) and all(one.status in FINAL and not one.outbox for one in receipts)
    return ended and not world.opened() and not world.live_jobs()


def stories(first_round: float) -> Iterator[Story]:
    """Yield the story of each call until a process outlives the drop."""
    for at in itertools.count(1):
        told = story(at, first_round)
        if told.killed is None:
            return
        yield told


@pytest.mark.parametrize("first_round", [1, 11, 60, 180, 249, 299])
def test_a_host_that_is_killed_at_any_call_is_recovered_from_within_ten_minutes(first_round: float) -> None:
    told = list(stories(first_round))
    assert len(told) > 50
    assert max(one.recovery for one in told) < LIMIT


def test_an_undisturbed_drop_takes_no_longer_than_the_quiet_period() -> None:
    calm = story(10_000, 299)
    assert calm.killed is None
    assert calm.over - calm.began <= timedelta(seconds=15)
