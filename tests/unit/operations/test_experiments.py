import functools
import json
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import NotFound, PreconditionFailed, Refused
from function_app.models.deletion import DEPLOYED_TAG
from function_app.store.deletions import BeingDeleted, Deletion, DeletionState
from function_app.timing import Timing
from tests.unit.crash_ports import InOrder, LastFirst, Rehearsal
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import World
from tests.unit.ways import reconcile, rest, wait

MAX_FUNCTION_RUNTIME = Timing().max_function_runtime
LATER = MAX_FUNCTION_RUNTIME + 60


def train(world: World, times: int = 2) -> None:
    """Train so many versions of the model digits, the last of which is the champion."""
    for number in range(times):
        world.drop("scripts/digits/train.py", b"print('trained')\n")
        world.drop("data/digits/digits.npz", f"digits {number}".encode())
        world.rest()
        world.run_job(metrics={"accuracy": 0.9 + number / 100})
        world.clock.advance(60)


def delete(world: World, *, force: bool = False) -> Deletion:
    return world.kedja.experiments.delete("digits", by="someone", force=force)


def finish(world: World, rounds: int = 3) -> None:
    for _ in range(rounds):
        world.clock.advance(LATER)
        world.reconcile()
        world.rest()


def told(world: World) -> Deletion:
    (name,) = world.blobs.names_in(naming.RECEIPTS, ".deleted/digits/")
    return Deletion.from_bytes(world.blobs.stored[naming.RECEIPTS, name].data)


def remains(world: World) -> list[str]:
    """Return what there is of Kedja's own of the experiment, the audit aside."""
    found = [name for name in world.blobs.names_in(naming.RECEIPTS) if "digits" in name and not name.startswith(KEPT)]
    return [*found, *world.blobs.names_in(naming.SNAPSHOTS), *world.blobs.names_in(naming.MODELS)]


KEPT = (".deleted/", ".attempts/")
CHAMPION = ["digits/2/manifest.json", "digits/2/model.npz", "digits/champion.json"]


def test_the_grace_is_as_long_as_a_function_may_run() -> None:
    host_json = json.loads(Path("host.json").read_text())

    assert host_json["functionTimeout"] == f"0{timedelta(seconds=MAX_FUNCTION_RUNTIME)}"


class TestDelete:
    def test_leaves_what_is_in_use_and_the_audit(self, world: World) -> None:
        train(world)
        receipts = {receipt.drop: receipt for receipt in world.receipts()}
        begun = delete(world)
        finish(world)

        assert begun.state is DeletionState.DELETING
        assert remains(world) == CHAMPION
        audit = told(world)
        assert (audit.state, audit.by, audit.folder) == (DeletionState.DELETED, "someone", "digits")
        assert {one.drop: one.jobs for one in audit.receipts} == {
            drop: tuple(attempt.job for attempt in receipt.attempts) for drop, receipt in receipts.items()
        }
        assert all(len(one.sha256) == 64 for one in audit.receipts)
        assert [one.key for one in audit.models] == [("digits", "1")]
        assert [(one.version, one.why) for one in audit.kept] == [("2", "It is the model's champion.")]
        assert [(one.version, one.archived) for one in world.training.versions] == [("1", True), ("2", False)]

    def test_leaves_the_files_of_users(self, world: World) -> None:
        train(world, 1)
        deletion = delete(world)
        finish(world)

        assert [(left.container, left.files, left.size) for left in deletion.left] == [
            ("data", 1, 8),
            ("scripts", 1, 17),
        ]
        assert world.blobs.names_in(naming.DATA) == ["digits/digits.npz"]
        assert world.blobs.names_in(naming.SCRIPTS) == ["digits/train.py"]

    def test_files_that_stay_are_no_drop_again(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        world.announce("data/digits/digits.npz")
        world.rest()
        finish(world)

        assert world.receipts() == []
        assert len(world.training.jobs) == 1

    def test_nothing_goes_while_something_may_be_under_way(self, world: World) -> None:
        train(world)
        before = remains(world)
        delete(world)
        world.clock.advance(MAX_FUNCTION_RUNTIME - 60)
        world.reconcile()

        assert set(remains(world)) == {*before, ".deleting/digits"}

    def test_a_file_dropped_meanwhile_is_taken_when_it_is_done(self, world: World) -> None:
        train(world, 1)
        delete(world)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other digits")
        world.go_on(120)
        assert len(world.receipts()) == 1
        finish(world)

        assert told(world).state is DeletionState.DELETED
        assert world.receipt().status is Status.STARTING

    def test_a_lost_event_of_a_file_dropped_meanwhile_is_found(self, world: World) -> None:
        train(world, 1)
        delete(world)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other digits", times=0)
        finish(world)

        assert world.receipt().status is Status.STARTING

    def test_again_tells_how_far_it_is(self, world: World) -> None:
        train(world, 1)
        first = delete(world)
        world.clock.advance(5)
        assert delete(world) == first
        finish(world)
        assert delete(world).state is DeletionState.DELETED

    def test_what_is_dropped_anew_can_be_deleted_anew(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        train(world, 1)
        assert delete(world).state is DeletionState.DELETING
        finish(world)

        assert len(world.blobs.names_in(naming.RECEIPTS, ".deleted/digits/")) == 2
        assert world.receipts() == []

    def test_no_job_name_is_used_again(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        train(world, 1)

        first, second = world.training.jobs
        assert (first[:-1], first[-1], second[-1]) == (second[:-1], "1", "2")
        assert len({event.id for event in world.publisher.published}) == 6

    def test_of_what_is_not_there_is_refused(self, world: World) -> None:
        with pytest.raises(NotFound, match="no experiment 'digits'"):
            delete(world)

    def test_leaves_other_experiments_alone(self, world: World) -> None:
        train(world, 1)
        world.drop("scripts/digits-2/train.py", b"print('trained')\n")
        world.drop("data/digits-2/digits.npz", b"digits")
        world.rest()
        world.run_job()
        delete(world)
        finish(world)

        assert world.receipt("digits-2").status is Status.REGISTERED
        assert world.blobs.get(naming.MODELS, "digits-2/1/manifest.json") is not None

    def test_two_at_once_are_one(self, world: World) -> None:
        train(world, 1)
        other = host(world, blobs=lambda port: Meanwhile(port, "create", lambda: delete(world), about=".deleting/"))

        assert other.experiments.delete("digits", by="another", force=False).by == "someone"

    def test_a_receipt_that_cannot_be_read_goes_too(self, world: World) -> None:
        train(world, 1)
        world.blobs.upload(naming.RECEIPTS, "digits/what.json", b"what is this?")
        delete(world)
        finish(world)

        assert world.receipts() == []
        assert [one.status for one in told(world).receipts if one.drop == "what"] == [None]


class TestJobs:
    def test_that_go_on_are_in_the_way(self, world: World) -> None:
        world.drop_digits()
        world.rest()

        with pytest.raises(Refused, match=f"{world.receipt().job}.*force=true"):
            delete(world)
        assert world.kedja.experiments.active_deletion("digits") is None

    def test_that_go_on_are_canceled_where_that_is_wanted(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        delete(world, force=True)
        world.rest()
        finish(world)

        assert [job.status.value for job in world.training.jobs.values()] == ["canceled"]
        assert world.publisher.types()[-1] == "Kedja.JobCanceled"
        assert remains(world) == []

    def test_that_slip_in_are_canceled(self, world: World) -> None:
        train(world, 1)
        world.drop("data/digits/digits.npz", b"more digits")
        world.kedja = host(
            world, blobs=lambda port: Meanwhile(port, "get", lambda: delete(world), about=".deleting/", after=True)
        )
        world.rest()
        finish(world)

        assert remains(world) == ["digits/1/manifest.json", "digits/1/model.npz", "digits/champion.json"]
        assert not world.live_jobs()

    def test_cannot_be_retried_meanwhile(self, world: World) -> None:
        train(world, 1)
        delete(world)

        with pytest.raises(BeingDeleted, match="being deleted"):
            world.kedja.jobs.retry(str(world.receipt().job))
        with pytest.raises(BeingDeleted, match="being deleted"):
            world.kedja.jobs.submit({"experiment_name": "digits"}, trigger="t", code=True, force=True)

    def test_events_are_published_first(self, world: World) -> None:
        world.publisher.refuses = True
        train(world, 1)
        delete(world)
        finish(world)
        assert len(world.receipts()) == 1
        world.publisher.refuses = False
        finish(world)

        assert world.receipts() == []
        assert world.publisher.types()[-1] == "Kedja.ModelRegistered"


class TestModels:
    def test_that_are_deployed_stay(self, world: World) -> None:
        train(world)
        first = world.training.versions[0]
        world.training.versions[0] = evolve(first, tags={**first.tags, DEPLOYED_TAG: "shop"})
        delete(world)
        finish(world)

        assert {one.version: one.why for one in told(world).kept} == {
            "1": "It is deployed: its tag kedja_deployed says 'shop'.",
            "2": "It is the model's champion.",
        }
        assert "digits/1/model.npz" in world.blobs.names_in(naming.MODELS)

    def test_that_somebody_archived_go_too(self, world: World) -> None:
        train(world)
        world.training.archive_model("digits", "1")
        delete(world)
        finish(world)

        assert world.blobs.names_in(naming.MODELS) == CHAMPION

    def test_that_become_the_champion_meanwhile_stay(self, world: World) -> None:
        train(world)
        champion = world.kedja.champions.find("digits")
        assert champion is not None

        def promote() -> None:
            promoted = champion.model_copy(update={"version": "1"})
            world.blobs.replace(naming.MODELS, "digits/champion.json", promoted.to_bytes())

        delete(world)
        world.clock.advance(LATER)
        world.kedja = host(world, blobs=lambda port: Meanwhile(port, "lease", promote, about="champion.json"))
        finish(world)

        assert "digits/1/manifest.json" in world.blobs.names_in(naming.MODELS)
        assert [one.version for one in told(world).kept] == ["2", "1"]

    def test_cannot_become_the_champion_while_they_go(self, world: World) -> None:
        train(world)
        seen = []

        def promote() -> None:
            with pytest.raises(PreconditionFailed):
                world.blobs.replace(naming.MODELS, "digits/champion.json", b"{}")
            seen.append(True)

        world.kedja = host(
            world, blobs=lambda port: Meanwhile(port, "delete", promote, about="digits/1/manifest.json", after=True)
        )
        delete(world)
        finish(world)

        assert seen == [True]


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
    world.kedja.entrance.ingest({**REQUEST, "data": {"experiment_name": "digits"}})
    world.go_on(LATER)
    world.reconcile()
    world.rest()

    assert world.failures == []
    assert world.receipt().trigger == "event: /shop"
    assert world.receipt().status is Status.SUBMITTED


def test_takes_what_events_had_asked_for_before_it_began(world: World) -> None:
    train(world, 1)
    for folder in ("digits", "digits-2", "other"):
        world.kedja.entrance.ingest({**REQUEST, "data": {"experiment_name": folder, "description": "d"}})
    before = world.blobs.names_in(naming.SNAPSHOTS, ".requests/")
    world.clock.advance(60)
    delete(world)
    world.queues.messages.clear()  # as if each had failed and were kept as poison
    world.clock.advance(60)
    world.kedja.entrance.ingest({**REQUEST, "data": {"experiment_name": "digits"}})
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
    receipt, etag = world.kedja.receipts.read("digits", world.receipt().drop)
    world.kedja.jobs.retry(str(receipt.job))
    with pytest.raises(PreconditionFailed):
        world.kedja.experiments.remover.delete_receipt("digits", receipt.drop, receipt, etag=etag)

    assert world.opened() == [f".open/{receipt.name}"]
