from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.jobs.job_queue import JobQueue
from function_app.operations.approvals import ApprovalService
from function_app.operations.reconciliation import Reconciler
from function_app.operations.stale_markers import StaleMarkers
from function_app.ports.storage import Blob, Folders, Page
from function_app.ports.training_service import JobStatus
from function_app.timing import Timing
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory import MemoryBlobs
from tests.unit.simulation import SCRIPT, World

TIMING = Timing()


def rounds(world: World, number: int = 1) -> None:
    for _ in range(number):
        world.clock.advance(300)
        world.reconcile()
        world.rest()


def die_before_submission(world: World) -> None:
    """Have the host that takes a drop be killed between its claim and its submission."""

    def die() -> None:
        raise KeyboardInterrupt

    world.drop_digits()
    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", die))
    with pytest.raises(KeyboardInterrupt):
        world.go_on(60)


class TestLostEvents:
    def test_of_files_are_found_by_the_walk(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT, times=0)
        world.drop("data/digits/digits.npz", times=0)
        rounds(world)
        assert world.receipt().status is Status.SUBMITTED

    def test_of_later_files_are_found_by_the_walk(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"more digits", times=0)
        rounds(world)
        assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.SUBMITTED]

    def test_of_the_completion_are_made_up_for(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.tells_of_runs = False
        world.training.finish(world.live_jobs()[0].name)
        rounds(world)
        assert world.receipt().status is Status.REGISTERED
        assert world.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobCompleted", "Kedja.ModelRegistered"]
        assert world.opened() == []

    def test_of_the_completion_and_the_copies_as_well(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.tells_of_runs = False
        world.blobs.hold_copies = True
        world.training.finish(world.live_jobs()[0].name)
        world.reconcile()
        world.queues.messages.clear()
        world.blobs.end_copies()
        rounds(world)
        assert world.receipt().status is Status.REGISTERED


class TestLostMessages:
    def test_behind_a_marker(self, world: World) -> None:
        world.drop_digits()
        world.go_on(1)
        world.queues.messages.clear()
        assert world.markers() == [".settling/digits"]
        world.reconcile()
        assert world.queues.messages == []
        rounds(world)
        assert (world.receipt().status, world.markers()) == (Status.SUBMITTED, [])

    def test_behind_a_marker_that_is_none(self, world: World) -> None:
        world.drop("data/digits/digits.npz", times=0)
        world.blobs.upload(naming.RECEIPTS, ".settling/digits", b"what is this?")
        rounds(world)
        assert (world.receipt().status, world.markers()) == (Status.SUBMITTED, [])

    def test_behind_a_file_outside_of_any_folder(self, world: World) -> None:
        world.drop("data/digits.npz")
        world.go_on(1)
        world.queues.messages.clear()
        rounds(world)
        assert world.receipts("_root")[0].status is Status.REJECTED

    def test_a_marker_whose_message_waits_is_not_stale(self, world: World) -> None:
        world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"")
        world.drop_digits()
        world.go_on(20)
        world.clock.advance(50)
        world.reconcile()
        assert len(world.queues.messages) == 1


class TestOpenReceipts:
    def test_claimed_while_a_round_sees_only_its_mark_is_submitted(self, world: World) -> None:
        """The round comes between the mark and the receipt, its host dies behind the receipt, and newer files come."""

        def die() -> None:
            raise KeyboardInterrupt

        sound = world.kedja
        world.drop_digits()
        seen = Meanwhile(
            world.blobs, "create", lambda: sound.reconciler.run(id="a round"), about="'receipts', 'digits/"
        )
        world.kedja = host(
            world, blobs=lambda _: Meanwhile(seen, "create", die, about="'receipts', 'digits/", after=True)
        )
        with pytest.raises(KeyboardInterrupt):
            world.go_on(60)
        world.kedja = sound
        world.queues.messages.clear()
        world.clock.advance(1)
        world.drop("data/digits/digits.npz", b"newer digits")
        rounds(world, 3)
        assert [receipt.status for receipt in world.receipts()] == [Status.SUPERSEDED, Status.STARTING]

    def test_a_mark_that_gets_no_receipt_is_taken_away_when_its_function_has_ended(self, world: World) -> None:
        world.kedja.receipts.set_open_mark("digits", "0" * 64)
        rounds(world, 3)
        assert world.opened() == [f".open/digits/{'0' * 64}"]
        rounds(world)
        assert world.opened() == []

    def test_claimed_and_never_submitted_is_submitted(self, world: World) -> None:
        die_before_submission(world)
        world.queues.messages.clear()
        assert world.receipt().status is Status.SUBMITTING
        world.reconcile()
        assert world.training.jobs == {}
        world.clock.advance(301)
        world.reconcile()
        assert (world.receipt().status, len(world.training.jobs)) == (Status.STARTING, 1)

    def test_claimed_by_a_host_that_was_killed_is_the_latest_even_where_its_files_are_gone(self, world: World) -> None:
        sound = world.kedja
        die_before_submission(world)
        world.kedja = sound
        world.blobs.delete(naming.RECEIPTS, naming.latest_blob("digits"))
        for container, name in ((naming.SCRIPTS, "digits/train.py"), (naming.DATA, "digits/digits.npz")):
            world.blobs.delete(container, name)
        world.queues.messages.clear()
        world.clock.advance(300)
        world.reconcile()
        latest = world.kedja.receipts.latest("digits")
        assert latest is not None
        assert (latest.drop, world.receipt().status) == (world.receipt().drop, Status.STARTING)

    def test_whose_job_was_deleted_has_failed(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.training.jobs.clear()
        rounds(world, 3)
        assert world.receipt().status is Status.SUBMITTED
        rounds(world)
        receipt = world.receipt()
        assert receipt.status is Status.FAILED
        assert f"knows no job {receipt.job} any more" in str(receipt.reason)
        assert world.publisher.types()[-1] == "Kedja.JobFailed"
        assert world.opened() == []

    def test_whose_job_was_deleted_before_its_model_was_copied_has_no_model(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.blobs.hold_copies = True
        world.training.finish(world.live_jobs()[0].name)
        world.go_on(2)
        assert (world.receipt().status, len(world.training.current())) == (Status.COMPLETED, 1)
        world.training.jobs.clear()
        rounds(world, 3)
        assert (world.receipt().status, len(world.training.current())) == (Status.COMPLETED, 1)
        rounds(world)
        receipt = world.receipt()
        assert (receipt.status, receipt.model, world.training.current()) == (Status.NOT_REGISTERED, None, [])
        assert f"knows no job {receipt.job} any more" in str(receipt.reason)
        assert world.publisher.types()[-1] == "Kedja.ModelNotRegistered"
        assert world.opened() == []

    def test_an_outbox_that_was_refused_is_sent_with_the_same_id(self, world: World) -> None:
        world.publisher.refuses = True
        world.drop_digits()
        world.rest()
        world.run_job()
        waiting = [event.id for event in world.receipt().outbox]
        assert (len(waiting), world.receipt().status) == (3, Status.REGISTERED)
        rounds(world)
        assert len(world.opened()) == 1
        world.publisher.refuses = False
        rounds(world)
        assert [event.id for event in world.publisher.published] == waiting
        assert (world.receipt().outbox, world.opened()) == ((), [])

    def test_one_that_cannot_be_read_does_not_keep_the_others_waiting(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.blobs.upload(naming.RECEIPTS, "aaa/bad.json", b"{}")
        world.kedja.receipts.set_open_mark("aaa", "bad")
        world.tells_of_runs = False
        world.training.finish(world.live_jobs()[0].name)
        rounds(world)
        assert world.receipt().status is Status.REGISTERED

    def test_one_that_is_gone_is_closed(self, world: World) -> None:
        world.kedja.receipts.set_open_mark("digits", "gone")
        for seconds in (601, 241):
            assert world.opened() == [".open/digits/gone"]
            world.clock.advance(seconds)
            world.reconcile()
        assert world.opened() == []


def break_down() -> None:
    raise ValueError("no JSON")


def complete_unseen(world: World, folder: str) -> None:
    """Have a drop of the folder be trained, and its end be told by nobody."""
    world.drop(f"scripts/{folder}/train.py", SCRIPT)
    world.drop(f"data/{folder}/digits.npz", b"digits")
    world.rest()
    world.tells_of_runs = False
    world.training.finish(world.live_jobs()[-1].name)


class TestIsolation:
    """One broken thing does not keep the others waiting, whatever it breaks with."""

    @pytest.mark.parametrize("place", ["models/aaa/champion.json", "receipts/aaa/latest.json"])
    def test_of_a_document_that_cannot_be_read(
        self, world: World, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        complete_unseen(world, "aaa")
        complete_unseen(world, "zzz")
        container, _, name = place.partition("/")
        world.blobs.upload(container, name, b"{")
        rounds(world)
        assert world.receipt("zzz").status is Status.REGISTERED
        assert f"{place} cannot be read: Invalid JSON" in caplog.text

    @pytest.mark.parametrize("broken", range(5))
    def test_of_a_part_of_the_round(
        self, world: World, broken: int, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
    ) -> None:
        parts = [
            (Reconciler, "_open_receipts"),
            (Reconciler, "_slots"),
            (Reconciler, "_orphan_jobs"),
            (StaleMarkers, "send_again"),
            (ApprovalService, "reconcile"),
        ]
        fails = parts.pop(broken)
        spies = [mocker.spy(*part) for part in parts]
        mocker.patch.object(*fails, side_effect=ZeroDivisionError("a defect"))
        world.reconcile()
        assert [spy.call_count for spy in spies] == [1, 1, 1, 1]
        assert "ZeroDivisionError: a defect" in caplog.text

    def test_of_a_receipt(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        complete_unseen(world, "aaa")
        complete_unseen(world, "zzz")
        world.kedja = host(world, training=lambda port: Meanwhile(port, "get", break_down))
        world.reconcile()
        assert [world.receipt(folder).status for folder in ("aaa", "zzz")] == [Status.SUBMITTED, Status.REGISTERED]
        assert f"The receipt {world.receipt('aaa').name} could not be reconciled" in caplog.text

    def test_of_a_job_that_nobody_waits_for(self, world: World) -> None:
        for folder in ("aaa", "zzz"):
            world.drop(f"data/{folder}/digits.npz", b"digits")
            world.rest()
        world.blobs.delete(naming.RECEIPTS, naming.open_blob("aaa", world.receipt("aaa").drop))
        world.blobs.delete(naming.RECEIPTS, naming.open_blob("zzz", world.receipt("zzz").drop))
        for job in world.live_jobs():
            world.training.move(job.name, JobStatus.RUNNING)
        world.queues.messages.clear()
        world.kedja = host(world, training=lambda port: Meanwhile(port, "get", break_down))
        world.reconcile()
        assert {world.receipt(folder).status for folder in ("aaa", "zzz")} == {Status.SUBMITTED, Status.RUNNING}

    def test_of_a_queued_receipt(self, mocker: MockerFixture) -> None:
        world = World.make(max_jobs=2)
        for folder in ("aaa", "bbb", "yyy", "zzz"):
            world.drop(f"data/{folder}/digits.npz", b"digits")
            world.rest()
            world.clock.advance(1)
        queued = [world.receipt(folder) for folder in ("yyy", "zzz")]
        assert [receipt.status for receipt in queued] == [Status.QUEUED, Status.QUEUED]
        world.kedja.submitter.turns.admission.adopt({str(receipt.job): receipt.name for receipt in queued})
        repaired = mocker.spy(JobQueue, "reconcile")
        world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", break_down))
        world.reconcile()
        assert [world.receipt(folder).status for folder in ("yyy", "zzz")] == [Status.SUBMITTING, Status.STARTING]
        assert repaired.call_count == 1

    def test_of_a_marker(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.drop("data/aaa/a.npz")
        world.drop("data/zzz/a.npz")
        world.go_on(1)
        world.queues.messages.clear()
        world.clock.advance(300)
        world.kedja = host(world, blobs=lambda port: Meanwhile(port, "read", break_down, about=".settling/"))
        world.reconcile()
        assert len(world.queues.messages) == 1
        assert "The message of the marker .settling/aaa could not be sent again" in caplog.text


def test_a_round_begins_nothing_after_its_time(world: World, mocker: MockerFixture) -> None:
    for number in range(3):
        world.blobs.upload(naming.RECEIPTS, f".settling/s{number}", b"no marker")
    world.clock.advance(300)
    read = MemoryBlobs.read

    def slow(blobs: MemoryBlobs, container: str, name: str, **options: Any) -> Blob:  # noqa: ANN401 - the port's
        if name.startswith(".settling/"):
            world.clock.advance(TIMING.reconcile_round + 1)
        return read(blobs, container, name, **options)

    mocker.patch.object(MemoryBlobs, "read", slow)
    world.reconcile()
    assert world.markers() == [".settling/s1", ".settling/s2"]


class TestStrays:
    def test_jobs_that_nobody_waits_for_are_canceled(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        name = world.live_jobs()[0].name
        world.training.cancel(name)
        world.rest()
        world.tells_of_runs = False
        world.training.move(name, JobStatus.RUNNING)
        world.reconcile()
        assert world.training.jobs[name].status is JobStatus.CANCELED

    def test_while_the_service_does_not_answer_the_rest_goes_on(self, world: World) -> None:
        world.drop("data/digits/digits.npz", times=0)
        world.training.unavailable = True
        world.clock.advance(60)
        world.reconcile()
        assert world.markers() == [".settling/digits"]


class TestWalk:
    def test_looks_at_every_experiment_in_one_round(self, world: World) -> None:
        for number in range(50):
            world.drop(f"data/e{number:02}/a.npz", times=0)
        world.clock.advance(300)
        world.reconcile()
        assert len(world.markers()) == 50

    def test_is_bounded_and_goes_on_where_it_was(self, world: World, mocker: MockerFixture) -> None:
        for number in range(50):
            world.drop(f"{'data' if number < 30 else 'scripts'}/e{number:02}/a.npz", times=0)
        folders = MemoryBlobs.folders

        def slow(blobs: MemoryBlobs, container: str, *, size: int, token: str | None = None) -> Folders:
            world.clock.advance(TIMING.walk_round + 1)
            return folders(blobs, container, size=size, token=token)

        mocker.patch.object(MemoryBlobs, "folders", slow)
        taken = []
        for _ in range(4):
            world.clock.advance(300)
            before = set(world.markers())
            world.reconcile()
            taken.append(len(set(world.markers()) - before))
        assert taken == [20, 10, 20, 0]

    def test_stops_among_the_folders_of_a_page_that_take_too_long(self, world: World, mocker: MockerFixture) -> None:
        for number in range(5):
            world.drop(f"data/e{number}/a.npz", times=0)
        page = MemoryBlobs.page

        def slow(blobs: MemoryBlobs, container: str, prefix: str, **options: Any) -> Page:  # noqa: ANN401 - the port's
            if container == naming.DATA:
                world.clock.advance(0.6 * TIMING.max_walk_round)
            return page(blobs, container, prefix, **options)

        mocker.patch.object(MemoryBlobs, "page", slow)
        taken = []
        for _ in range(4):
            before = set(world.markers())
            world.reconcile()
            taken.append(sorted(set(world.markers()) - before))
        assert taken == [
            [".settling/e0", ".settling/e1"],
            [".settling/e2", ".settling/e3"],
            [".settling/e4"],
            [],
        ]

    def test_leaves_files_alone_that_no_one_means_to_drop_yet(self, world: World) -> None:
        world.blobs.upload(naming.DATA, "digits/a.tmp", b"x")
        world.blobs.upload(naming.DATA, "digits/on its way", b"", committed=False)
        world.clock.advance(300)
        world.reconcile()
        assert world.markers() == []

    def test_goes_on_past_a_folder_that_cannot_be_looked_at(self, world: World) -> None:
        world.drop("data/a/a.npz", times=0)
        world.drop("data/b/b.npz", times=0)
        world.blobs.upload(naming.RECEIPTS, naming.latest_blob("a"), b"what is this?")
        rounds(world)
        assert world.receipt("b").status is Status.SUBMITTED

    def test_starts_anew_at_the_end(self, world: World) -> None:
        rounds(world)
        world.drop("data/digits/digits.npz", times=0)
        rounds(world)
        assert world.receipt().status is Status.SUBMITTED

    def test_costs_nothing_where_nothing_is_new(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_comes_to_rest_where_a_file_was_written_again_in_the_second_of_the_listing(self, world: World) -> None:
        world.drop_digits()
        world.go_on(10)
        assert world.receipt().status is Status.SUBMITTED
        world.drop("data/digits/digits.npz", b"digits", times=0)
        world.kedja.jobs.submit({"experiment_name": "digits"}, trigger="api", code=True)
        rounds(world)
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_finds_what_was_written_after_the_listing_in_the_same_second(self, world: World) -> None:
        world.drop("data/digits/digits.npz", b"digits", times=0)
        world.kedja.jobs.submit({"experiment_name": "digits"}, trigger="api", code=True)
        world.drop("data/digits/digits.npz", b"more digits", times=0)
        rounds(world)
        assert len(world.receipts()) == 2

    def test_finds_what_came_before_a_retry(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        name = world.run_job(exit_code=1)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"more digits", times=0)
        world.clock.advance(60)
        world.kedja.jobs.retry(name)
        rounds(world)
        assert len(world.receipts()) == 2

    def test_leaves_hidden_folders_alone(self, world: World) -> None:
        world.drop("data/.cache/a.npz", times=0)
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_while_paused_does_not_add_up(self, world: World) -> None:
        world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"")
        world.drop("data/digits/digits.npz", times=0)
        for _ in range(10):
            world.go_on(300)
            world.clock.advance(1)
            world.reconcile()
        assert len(world.queues.messages) == 1


def test_what_is_open_is_looked_at_in_turn_where_there_is_no_time_for_all(world: World, mocker: MockerFixture) -> None:
    world.training.compute_names.clear()
    for number in range(5):
        world.drop(f"scripts/e{number}/train.py", SCRIPT)
        world.drop(f"data/e{number}/a.npz")
    world.rest()
    read = MemoryBlobs.read

    def slow(blobs: MemoryBlobs, container: str, name: str, **options: Any) -> Blob:  # noqa: ANN401 - the port's
        if container == naming.RECEIPTS and name.startswith("e") and not name.endswith("latest.json"):
            world.clock.advance(0.6 * TIMING.open_round)
        return read(blobs, container, name, **options)

    mocker.patch.object(MemoryBlobs, "read", slow)
    taken = []
    for _ in range(4):
        for name in world.markers():
            world.blobs.delete(naming.RECEIPTS, name)
        world.reconcile()
        taken.append(sorted(name.removeprefix(".settling/") for name in world.markers()))
    assert taken == [["e0", "e1"], ["e2", "e3"], ["e0", "e4"], ["e1", "e2"]]


def test_files_outside_of_any_folder_are_no_experiment_with_a_latest_drop(world: World) -> None:
    """Also where their host was killed before it took the mark away."""
    world.drop("data/digits.npz", b"digits")
    world.rest()
    (receipt,) = world.receipts(naming.ROOT_EXPERIMENT)
    world.kedja.receipts.set_open_mark(receipt.experiment, receipt.drop)
    world.reconcile()
    assert world.kedja.receipts.latest(naming.ROOT_EXPERIMENT) is None
    assert world.receipts(naming.ROOT_EXPERIMENT) == [receipt]
    assert world.opened() == []
