import functools
from datetime import timedelta

import pytest
from attrs import evolve
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Receipt, Status
from function_app.errors import Refused, TrainingServiceError, TrainingServiceUnavailable
from function_app.models.deletion import DEPLOYED_TAG
from function_app.operations.retention import RetentionRecord
from function_app.store.deletions import DeletionState
from function_app.timing import Timing
from tests.unit.crash_ports import Rehearsal
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World
from tests.unit.ways import Way, reconcile, rest, wait

DAY = 86_400.0


def made(**settings: float) -> World:
    """Return a world of four drops: a failure, a first version, one to roll back to, and the champion, the latest."""
    return _made(tuple(sorted(settings.items()))).copy()


@functools.cache
def _made(settings: tuple[tuple[str, float], ...]) -> World:
    world = World.make(**dict(settings))
    for number in range(4):
        world.drop("scripts/digits/train.py", b"print('trained')\n")
        world.drop("data/digits/digits.npz", f"digits {number}".encode())
        world.rest()
        world.run_job(exit_code=int(number == 0))
        world.clock.advance(60)
    return world


def age(world: World, days: float) -> World:
    world.clock.advance(days * DAY)
    world.reconcile()
    world.rest()
    return world


def statuses(world: World) -> list[Status]:
    return [receipt.status for receipt in world.receipts()]


def snapshots(world: World) -> set[str]:
    return {name.split("/")[1] for name in world.blobs.names_in(naming.SNAPSHOTS)}


def audit(world: World) -> list[RetentionRecord]:
    return [
        RetentionRecord.from_bytes(world.blobs.stored[naming.RECEIPTS, name].data)
        for name in world.blobs.names_in(naming.RECEIPTS, ".retired/")
    ]


def parts(world: World) -> set[tuple[str, str]]:
    return {(one.drop, part) for each in audit(world) for one in each.retired for part in one.parts}


def test_keeps_everything_where_nothing_is_set() -> None:
    world = made()
    before = set(world.blobs.stored)
    age(world, 1000)

    assert before <= set(world.blobs.stored)
    assert audit(world) == []


def test_costs_nothing_where_nothing_is_set(world: World) -> None:
    world.kedja.housekeeping.retention.run(world.clock() + timedelta(hours=1))

    assert world.blobs.calls == []


class TestSnapshots:
    def test_go_after_their_time_where_no_kept_model_came_of_them(self) -> None:
        world = made(keep_snapshots=30)
        failed, *others = world.receipts()
        age(world, 29)
        assert len(snapshots(world)) == 4
        age(world, 2)

        assert snapshots(world) == {other.drop for other in others}
        assert statuses(world) == [Status.FAILED, *[Status.REGISTERED] * 3]
        assert world.receipts()[0].forgotten == ("snapshot",)
        assert parts(world) == {(failed.drop, "snapshot")}
        assert audit(world)[0].policy["KEDJA_KEEP_SNAPSHOTS"] == 30

    def test_are_looked_at_no_more(self) -> None:
        world = age(made(keep_snapshots=30), 31)
        age(age(world, 1), 1)

        assert len(audit(world)) == 1

    def test_a_retry_of_one_that_is_gone_is_refused(self) -> None:
        world = age(made(keep_snapshots=30), 31)

        with pytest.raises(Refused, match="drop the files again"):
            world.kedja.job_commands.retry(str(world.receipts()[0].job))

    def test_the_same_content_dropped_again_has_one_again(self) -> None:
        world = age(made(keep_snapshots=30), 31)
        world.drop("data/digits/digits.npz", b"digits 0")
        world.rest()
        world.run_job()
        receipt = next(one for one in world.receipts() if len(one.attempts) == 2)

        assert (receipt.status, receipt.forgotten) == (Status.REGISTERED, ())
        assert receipt.drop in snapshots(world)


class TestModels:
    def test_go_after_their_time_but_for_the_champion_and_the_one_before(self) -> None:
        world = made(keep_models=30)
        first = world.receipts()[1]
        age(world, 31)

        assert world.blobs.names_in(naming.MODELS) == [
            "digits/2/manifest.json",
            "digits/2/model.npz",
            "digits/3/manifest.json",
            "digits/3/model.npz",
            "digits/champion.json",
        ]
        assert [(one.version, one.archived) for one in world.training.versions] == [
            ("1", True),
            ("2", False),
            ("3", False),
        ]
        assert world.receipts()[1].forgotten == ("model",)
        assert parts(world) == {(first.drop, "digits:1")}
        assert len(snapshots(world)) == 4

    def test_that_are_deployed_stay(self) -> None:
        world = made(keep_models=30, keep_snapshots=30, keep_receipts=30)
        first = world.training.versions[0]
        world.training.versions[0] = evolve(first, tags={**first.tags, DEPLOYED_TAG: "shop"})
        age(world, 31)

        assert statuses(world) == [Status.REGISTERED] * 3
        assert "digits/1/model.npz" in world.blobs.names_in(naming.MODELS)

    def test_take_snapshots_with_them(self) -> None:
        world = made(keep_models=30, keep_snapshots=10)
        kept = world.receipts()[2:]
        age(world, 31)

        assert snapshots(world) == {receipt.drop for receipt in kept}

    def test_of_all_attempts_of_a_drop_go(self) -> None:
        world = made(keep_models=30)
        world.kedja.job_commands.retry(str(world.receipts()[1].job))
        world.rest()
        world.run_job()
        for content in (b"newer digits", b"newest digits"):
            world.clock.advance(60)
            world.drop("data/digits/digits.npz", content)
            world.rest()
            world.run_job()
        age(world, 31)

        archived = {one.version for one in world.training.versions if one.archived}
        assert {one.version for one in world.training.versions} - archived == {"5", "6"}


class TestReceipts:
    def test_go_after_their_time_but_for_the_latest(self) -> None:
        world = made(keep_receipts=90, keep_models=30)
        drops = [receipt.drop for receipt in world.receipts()]
        age(world, 91)

        assert [receipt.drop for receipt in world.receipts()] == drops[2:]
        assert len(world.blobs.names_in(naming.RECEIPTS, ".by-time/")) == 2
        assert snapshots(world) == {*drops[2:]}
        assert {(drop, part) for drop, part in parts(world) if part == "receipt"} == {
            (drops[0], "receipt"),
            (drops[1], "receipt"),
        }

    def test_whose_model_is_kept_stay(self) -> None:
        world = age(made(keep_receipts=90), 91)

        assert statuses(world) == [Status.REGISTERED] * 3

    def test_the_same_content_dropped_again_is_a_new_job(self) -> None:
        world = age(made(keep_receipts=90), 91)
        world.drop("data/digits/digits.npz", b"digits 0")
        world.rest()

        assert world.receipts()[-1].attempts[0].number == 2
        assert len(world.training.jobs) == 5

    def test_of_files_outside_of_any_folder_go(self) -> None:
        world = World.make(keep_receipts=90)
        world.drop("data/digits.npz")
        world.rest()
        age(world, 91)

        assert world.receipts("_root") == []

    def test_that_are_open_stay(self) -> None:
        world = World.make(keep_receipts=90, keep_snapshots=90)
        world.drop_digits()
        world.rest()
        world.publisher.refuses = True
        world.run_job(exit_code=1)
        world.drop("data/digits/digits.npz", b"more")
        world.rest()
        age(world, 91)

        assert len(world.receipts()) == 2

    def test_a_late_event_of_an_old_file_is_no_drop(self) -> None:
        world = age(made(keep_receipts=90, keep_models=90), 91)
        world.announce("data/digits/digits.npz")
        world.rest()

        assert len(world.receipts()) == 2


def test_an_attempt_that_is_claimed_meanwhile_wins() -> None:
    world = made(keep_snapshots=30)
    failed = world.receipts()[0]
    world.clock.advance(31 * DAY)
    other = host(
        world,
        blobs=lambda port: Meanwhile(
            port, "lease", lambda: world.kedja.job_commands.retry(str(failed.job)), about=failed.drop
        ),
    )
    other.housekeeping.retention.run(world.clock() + timedelta(hours=1))

    assert world.receipts()[0].status is Status.SUBMITTED
    assert failed.drop in snapshots(world)


def test_leaves_what_is_being_deleted_alone() -> None:
    world = made(keep_snapshots=30)
    world.clock.advance(31 * DAY)
    assert world.kedja.experiments.delete("digits", by="someone", force=False).state is DeletionState.DELETING
    world.kedja.housekeeping.retention.run(world.clock() + timedelta(hours=1))

    assert audit(world) == []


def test_one_experiment_that_cannot_be_read_does_not_keep_the_others() -> None:
    world = made(keep_snapshots=30)
    world.blobs.upload(naming.RECEIPTS, "aaa/latest.json", b"what is this?")
    age(world, 31)

    assert len(snapshots(world)) == 3


def refusing(mocker: MockerFixture, version: str, error: Exception) -> None:
    """Have the training service refuse to archive one version."""
    archive = MemoryTraining.archive_model

    def archive_model(self: MemoryTraining, model: str, number: str) -> None:
        if number == version:
            raise error
        archive(self, model, number)

    mocker.patch.object(MemoryTraining, "archive_model", archive_model)


def test_a_drop_that_cannot_go_keeps_no_other_and_the_audit_says_what_went(mocker: MockerFixture) -> None:
    world = made(keep_models=30, keep_snapshots=30)
    failed, first, *_ = world.receipts()
    refusing(mocker, "1", TrainingServiceError("It has a lock."))
    age(world, 31)
    assert parts(world) == {(failed.drop, "snapshot")}
    assert world.receipts()[1].forgotten == ()

    mocker.stopall()
    age(world, 1)
    assert parts(world) == {(failed.drop, "snapshot"), (first.drop, "digits:1"), (first.drop, "snapshot")}


@pytest.mark.parametrize("error", [TrainingServiceError("No."), TrainingServiceUnavailable("Not now.", None)])
def test_where_nothing_could_go_nothing_is_told(mocker: MockerFixture, error: Exception) -> None:
    world = made(keep_models=30)
    refusing(mocker, "1", error)
    age(world, 31)
    assert audit(world) == []


def test_looks_again_after_a_pause() -> None:
    world = age(made(keep_snapshots=30), 1)
    calls = len(world.blobs.calls)
    world.kedja.housekeeping.retention.run(world.clock() + timedelta(hours=1))
    assert len(world.blobs.calls) == calls + 1
    world.clock.advance(Timing().retention_pause + 1)
    world.kedja.housekeeping.retention.run(world.clock() + timedelta(hours=1))
    assert len(world.blobs.calls) > calls + 2


def outcome(world: World) -> object:
    own = [name for name in world.blobs.names_in(naming.RECEIPTS) if not name.startswith((".retired/", ".journal/"))]
    return (
        own,
        [(one.name, one.status, one.forgotten) for one in world.receipts() if isinstance(one, Receipt)],
        world.blobs.names_in(naming.SNAPSHOTS),
        world.blobs.names_in(naming.MODELS),
        [(one.version, one.archived) for one in world.training.versions],
        parts(world),
    )


@pytest.mark.usefixtures("in_order")
def test_killed_after_any_call() -> None:
    rounds: Way = (wait(40 * DAY), reconcile, rest) * 3
    rehearsed = Rehearsal.of(made(keep_snapshots=30, keep_models=30, keep_receipts=60), *rounds)
    expected = outcome(rehearsed.world)
    assert len(rehearsed.states) > 50
    for number in rehearsed.deaths:
        world, _ = rehearsed.killed(number)
        assert outcome(world) == expected, f"killed after call {number}"


def let_go_without_a_word(world: World, receipt: Receipt) -> None:
    """Leave what a process leaves that was killed between a snapshot's end and the word of it on the receipt."""
    world.kedja.experiments.deleter.delete_snapshot(receipt.ref)


def test_a_retry_of_a_drop_whose_snapshot_just_went_is_refused() -> None:
    world = made()
    failed = world.receipts()[0]
    let_go_without_a_word(world, failed)
    with pytest.raises(Refused, match="snapshot"):
        world.kedja.job_commands.retry(str(failed.job))

    assert (world.receipts()[0].status, world.opened()) == (Status.FAILED, [])


def test_the_same_content_again_brings_a_snapshot_back_that_just_went() -> None:
    world = made()
    failed = world.receipts()[0]
    let_go_without_a_word(world, failed)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"digits 0")
    world.rest()

    assert world.failures == []
    assert (world.receipts()[0].status, len(world.receipts()[0].attempts)) == (Status.SUBMITTED, 2)


def test_the_version_that_a_rollback_finds_stays_where_one_before_it_is_gone() -> None:
    world = made(keep_models=30)
    deleter = world.kedja.experiments.deleter
    assert deleter.is_rollback_target("digits", "2")
    assert deleter.delete_version("digits", "2")

    assert deleter.is_rollback_target("digits", "1")


def made_two() -> World:
    """Return a world of two experiments, each of whose first drop is to go."""
    world = World.make(keep_receipts=1)
    for folder in ("aaa", "zzz"):
        for number in range(2):
            world.drop(f"data/{folder}/digits.npz", f"digits {number}".encode())
            world.rest()
            world.run_job(exit_code=1)
            world.clock.advance(60)
    world.clock.advance(2 * DAY)
    return world


def left(world: World) -> list[int]:
    return [len(world.receipts(folder)) for folder in ("aaa", "zzz")]


def test_one_experiment_that_fails_in_whatever_way_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    world = made_two()

    def break_down() -> None:
        raise ValueError("no JSON")

    other = host(world, blobs=lambda port: Meanwhile(port, "page", break_down, about="'aaa/"))
    other.housekeeping.retention.run(world.clock() + timedelta(hours=1))
    assert left(world) == [2, 1]
    assert "Expired drops of aaa could not be deleted" in caplog.text


def test_no_experiment_is_begun_after_the_time_of_the_round() -> None:
    world = made_two()
    world.kedja.housekeeping.retention.run(world.clock() - timedelta(seconds=1))
    assert left(world) == [1, 2]
    world.kedja.housekeeping.retention.run(world.clock() + timedelta(hours=1))
    assert left(world) == [1, 1]
