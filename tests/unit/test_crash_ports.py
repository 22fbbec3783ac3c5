"""What counts as the state that a process leaves when it dies, and what does not."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.ports.storage import CopyStatus
from function_app.ports.training_service import JobStatus
from tests.unit.crash_ports import Rehearsal, state
from tests.unit.simulation import SCRIPT, World

BLOB = (naming.DATA, "digits/digits.npz")


@pytest.fixture
def world(world: World) -> World:
    """Return a world in which a model was made, another job runs, a copy is under way, and a message waits."""
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"more digits")
    world.rest()
    world.blobs.hold_copies = True
    item = world.blobs.get(*BLOB)
    assert item is not None
    world.blobs.copy(BLOB, (naming.MODELS, "copied"), etag=item.etag)
    world.queues.send(naming.RUN_EVENTS, {"kind": "look"})
    return world


def lease(world: World) -> None:
    world.blobs.lease(*BLOB, 60).__enter__()


def renewed(world: World) -> None:
    with world.blobs.lease(*BLOB, 60) as held:
        held.renew()


def etag(world: World) -> str:
    item = world.blobs.get(*BLOB)
    assert item is not None
    return item.etag


CHANGES: Mapping[str, Callable[[World], object]] = {
    "the same content is written again": lambda world: world.blobs.replace(*BLOB, b"more digits"),
    "metadata": lambda world: world.blobs.replace(*BLOB, b"more digits", metadata={"a": "b"}),
    "an upload is under way": lambda world: world.blobs.upload(naming.DATA, "digits/new", b"", committed=False),
    "a blob is gone": lambda world: world.blobs.delete(*BLOB),
    "a lease is held": lease,
    "a lease was held": renewed,
    "a copy has ended": lambda world: world.blobs.end_copies(CopyStatus.FAILED),
    "a copy has begun": lambda world: world.blobs.copy(BLOB, (naming.MODELS, "another"), etag=etag(world)),
    "a line is written": lambda world: world.blobs.append(naming.RECEIPTS, ".journal/x", b"line\n"),
    "a container is gone": lambda world: world.blobs.containers.discard(naming.DATA),
    "a message is sent": lambda world: world.queues.send(naming.RUN_EVENTS, {"kind": "look"}),
    "a message is delivered": lambda world: setattr(world.queues.messages[0], "deliveries", 1),
    "a message is put off": lambda world: setattr(
        world.queues.messages[0], "visible", world.clock() + timedelta(seconds=30)
    ),
    "a message is done with": lambda world: world.queues.messages.pop(),
    "a job moves": lambda world: world.training.move(world.live_jobs()[-1].name, JobStatus.RUNNING),
    "a job is canceled": lambda world: world.training.cancel(world.live_jobs()[-1].name),
    "a job has another request": lambda world: world.training.requests.update(
        {name: evolve(one, document={}) for name, one in world.training.requests.items()}
    ),
    "a version is archived": lambda world: world.training.archive_model("digits", "1"),
    "an event is published again": lambda world: world.publisher.publish(world.publisher.published[-1:]),
    "the topic refuses": lambda world: setattr(world.publisher, "refuses", True),
    "a function failed": lambda world: world.failures.append("ValueError"),
    "time passes": lambda world: world.clock.advance(0.001),
    "the service is called": lambda world: world.ask(lambda _: None),
    "chance": lambda world: world.chance.random(),
}

READS: Mapping[str, Callable[[World], object]] = {
    "list": lambda world: world.blobs.list(naming.DATA, ""),
    "page": lambda world: world.blobs.page(naming.DATA, "", size=1),
    "folders": lambda world: world.blobs.folders(naming.DATA, size=1),
    "read": lambda world: world.blobs.read(*BLOB),
    "read_from": lambda world: world.blobs.read_from(*BLOB, 0, 1),
    "get": lambda world: world.blobs.get(naming.DATA, "nothing"),
    "delete what is not there": lambda world: world.blobs.delete(naming.DATA, "nothing"),
    "job": lambda world: world.training.get(world.live_jobs()[-1].name),
    "jobs": lambda world: world.training.list(),
    "models": lambda world: world.training.models("digits"),
    "computes": lambda world: world.training.computes(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_outlives_a_process_is_state(world: World, change: Callable[[World], object]) -> None:
    before = state(world)
    change(world)
    assert state(world) != before


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_what_was_only_read_is_none(world: World, read: Callable[[World], object]) -> None:
    before = state(world)
    read(world)
    assert state(world) == before


def test_the_same_run_leaves_the_same_state_in_another_world() -> None:
    def ran() -> str:
        world = World.make()
        world.drop_digits()
        world.rest()
        world.run_job()
        return state(world)

    assert ran() == ran()


def test_a_copy_of_a_world_is_in_its_state_and_goes_its_own_way(world: World) -> None:
    copied = world.copy()
    before = state(world)
    assert state(copied) == before
    for each in (copied, world):
        each.blobs.hold_copies = False
        each.run_job()
        if each is copied:
            assert state(world) == before
    assert state(world) == state(copied) != before


@pytest.mark.usefixtures("in_order")
def test_steps_that_differ_from_those_rehearsed_are_noticed() -> None:
    def step(world: World) -> None:
        worlds.append(world)
        world.drop("scripts/digits/train.py", SCRIPT * len(worlds))
        world.rest()

    worlds: list[World] = []
    rehearsed = Rehearsal.of(World.make(), step)
    with pytest.raises(AssertionError, match="another one than in the rehearsal"):
        rehearsed.killed(rehearsed.deaths[-1])


@pytest.mark.usefixtures("in_order")
def test_a_process_that_outlives_a_call_was_not_killed() -> None:
    rehearsed = Rehearsal.of(World.make(), lambda world: world.reconcile())
    with pytest.raises(AssertionError, match="outlived"):
        rehearsed.killed(len(rehearsed.states) + 1)
