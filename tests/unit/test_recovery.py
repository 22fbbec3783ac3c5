"""Killed at any call of any port: over within ten minutes, with the real host's timings, under a virtual clock.

The message of a killed host comes again when its lease of ten minutes ends, one that failed after thirty seconds, and
reconcile runs every five minutes. Jobs take no time here, so that what is measured is Kedja's own.
"""

from datetime import datetime, timedelta

import pytest
from attrs import frozen

from function_app.domain.receipt import FINAL
from function_app.ports.training_service import JobStatus
from tests.unit.crash_ports import Rehearsal
from tests.unit.simulation import World

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


def story(world: World, first_round: float) -> Story:
    """Drop digits before a process that may die; the timer is due first in so many seconds."""
    began = world.clock()
    timer = began + timedelta(seconds=first_round)
    killed: datetime | None = None
    world.drop_digits()
    while not _is_over(world):
        assert world.clock() - began < _END, f"It is not over after {_END}"
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
            if world.killed and killed is None:
                message.visible = world.clock() + LEASE
        if world.killed and killed is None:
            killed = world.clock()
    return Story(killed=killed, over=world.clock(), began=began)


def _is_over(world: World) -> bool:
    receipts = world.receipts()
    ended = bool(receipts) and all(one.status in FINAL and not one.outbox for one in receipts)
    return ended and not world.opened() and not world.live_jobs()


def rehearsal(first_round: float) -> Rehearsal[Story]:
    return Rehearsal.of(World.make(), lambda world: story(world, first_round))


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("first_round", [1, 11, 60, 180, 249, 299])
def test_a_host_that_is_killed_at_any_call_is_recovered_from_within_ten_minutes(first_round: float) -> None:
    rehearsed = rehearsal(first_round)
    assert rehearsed.result.killed is None
    assert len(rehearsed.states) > 50
    for number in rehearsed.deaths:
        _, told = rehearsed.killed(number)
        assert told.killed is not None
        assert told.recovery < LIMIT, f"killed after call {number}"


@pytest.mark.usefixtures("in_order")
def test_recovery_from_a_death_after_a_call_that_changed_nothing_takes_as_long_as_after_the_call_before() -> None:
    rehearsed = rehearsal(60)
    told = [rehearsed.killed(number)[1] for number in range(1, len(rehearsed.states) + 1)]
    unchanged = [number for number in range(1, len(told) + 1) if number not in rehearsed.deaths]
    assert len(unchanged) > 10
    for number in unchanged:
        assert told[number - 1] == told[number - 2], f"killed after call {number}"


def test_an_undisturbed_drop_takes_no_longer_than_the_quiet_period() -> None:
    calm = rehearsal(299).result
    assert calm.killed is None
    assert calm.over - calm.began <= timedelta(seconds=15)
