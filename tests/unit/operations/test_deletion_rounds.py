import functools
from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import PreconditionFailed
from function_app.store.deletions import DeletionState
from tests.unit.crash_ports import InOrder, LastFirst, Rehearsal
from tests.unit.interleaving import Meanwhile, host
from tests.unit.operations.deleting import LATER, delete, finish, remains, told, train
from tests.unit.simulation import World
from tests.unit.ways import reconcile, rest, wait


@functools.cache
def trained() -> World:
    """Return a world with an experiment of a champion, an older version, a failure and a job under way."""
    world = World.make()
    train(world)
    world.drop("data/digits/digits.npz", b"bad digits")
    world.rest()
    world.run_job(exit_code=1)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"last digits")
    world.rest()
    return world


def outcome(world: World) -> object:
    audit = told(world)
    return (
        remains(world),
        sorted(one.drop for one in audit.receipts),
        sorted(one.key for one in audit.models),
        sorted(one.key for one in audit.kept),
        audit.state,
        [(one.version, one.archived) for one in world.training.versions],
        sorted((job.name, job.status) for job in world.training.jobs.values()),
        world.markers(),
    )


def begin(world: World) -> None:
    """Ask until it is begun."""
    if not world.ask(lambda kedja: kedja.experiments.delete("digits", by="someone", force=True)):
        delete(world, force=True)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("in_order", [InOrder, LastFirst], indirect=True)
def test_killed_after_any_call() -> None:
    rehearsed = Rehearsal.of(trained().copy(), begin, rest, *((wait(LATER), reconcile, rest) * 4))
    expected = outcome(rehearsed.world)
    assert rehearsed.world.failures == []
    assert len(rehearsed.states) > 100
    for number in rehearsed.deaths:
        world, _ = rehearsed.killed(number)
        assert outcome(world) == expected, f"killed after call {number}"
        assert world.failures == []


def test_a_long_one_goes_on_in_the_next_round(world: World) -> None:
    train(world, 4)
    delete(world)
    world.clock.advance(LATER)
    slow = host(
        world,
        blobs=lambda port: Meanwhile(
            port, "page", lambda: world.clock.advance(timedelta(minutes=3).total_seconds()), about="'digits/'"
        ),
    )
    slow.experiments.reconcile(world.clock() + timedelta(hours=1))
    assert world.kedja.experiments.active_deletion("digits") is not None
    finish(world)

    assert told(world).state is DeletionState.DELETED


def begin_two(world: World) -> None:
    """Begin to delete two experiments whose functions have all ended."""
    for folder in ("aaa", "zzz"):
        world.drop(f"scripts/{folder}/train.py", b"print('trained')\n")
        world.rest()
        world.kedja.experiments.delete(folder, by="someone", force=False)
    world.clock.advance(LATER)


def test_one_that_fails_in_whatever_way_keeps_no_other_waiting(world: World, caplog: pytest.LogCaptureFixture) -> None:
    begin_two(world)

    def break_down() -> None:
        raise ValueError("no JSON")

    other = host(world, training=lambda port: Meanwhile(port, "models", break_down))
    other.experiments.reconcile(world.clock() + timedelta(minutes=1))
    assert world.kedja.experiments.deleting() == {"aaa"}
    assert "The deletion of aaa could not continue" in caplog.text


def test_none_is_begun_after_the_time_of_the_round(world: World) -> None:
    begin_two(world)
    world.kedja.experiments.reconcile(world.clock() + timedelta(minutes=1))
    assert world.kedja.experiments.deleting() == set()
    begin_two(world)
    before = world.clock() + timedelta(minutes=1)
    other = host(world, training=lambda port: Meanwhile(port, "models", lambda: world.clock.advance(61)))
    calls = len(world.training.calls)
    other.experiments.reconcile(before)
    assert world.kedja.experiments.deleting() == {"aaa", "zzz"}
    assert world.training.calls[calls:] == [("models", "aaa")]


REQUEST = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "Kedja.TrainingRequested"}


def test_a_request_for_training_that_comes_meanwhile_waits_for_the_end(world: World) -> None:
    train(world, 1)
    delete(world)
    world.kedja.event_ingest.ingest({**REQUEST, "data": {"experiment_name": "digits"}})
    world.go_on(LATER)
    world.reconcile()
    world.rest()

    assert world.failures == []
    assert world.receipt().trigger == "event: /shop"
    assert world.receipt().status is Status.SUBMITTED


def test_takes_what_events_had_asked_for_before_it_began(world: World) -> None:
    train(world, 1)
    for folder in ("digits", "digits-2", "other"):
        world.kedja.event_ingest.ingest({**REQUEST, "data": {"experiment_name": folder, "description": "d"}})
    before = world.blobs.names_in(naming.SNAPSHOTS, ".requests/")
    world.clock.advance(60)
    delete(world)
    world.queues.messages.clear()  # as if each had failed and were kept as poison
    world.clock.advance(60)
    world.kedja.event_ingest.ingest({**REQUEST, "data": {"experiment_name": "digits"}})
    (later,) = {*world.blobs.names_in(naming.SNAPSHOTS, ".requests/")} - {*before}
    world.queues.messages.clear()
    finish(world)

    assert world.blobs.names_in(naming.SNAPSHOTS, ".requests/digits/") == [later]
    assert len(world.blobs.names_in(naming.SNAPSHOTS, ".requests/")) == 3


def test_counts_the_grace_from_when_new_drops_are_kept_out(world: World) -> None:
    train(world)
    slow = host(world, blobs=lambda port: Meanwhile(port, "page", lambda: world.clock.advance(300), about="snapshots"))
    slow.experiments.delete("digits", by="someone", force=False)
    world.clock.advance(LATER - 120)
    world.reconcile()
    assert len(world.receipts()) == 2
    finish(world)

    assert told(world).state is DeletionState.DELETED


def test_a_receipt_that_changes_as_it_goes_is_open_again(world: World) -> None:
    train(world, 1)
    receipt, etag = world.kedja.receipts.read(world.receipt().ref)
    world.kedja.job_commands.retry(str(receipt.job))
    with pytest.raises(PreconditionFailed):
        world.kedja.experiments.deleter.delete_receipt(receipt.ref, receipt, etag=etag)

    assert world.opened() == [f".open/{receipt.name}"]
