import random

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.attempt import AttemptOptions
from function_app.domain.receipt import Receipt, Status
from function_app.domain.receipt_transitions import drop_order, with_retry
from function_app.errors import AppNotAllowed
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import SCRIPT, World


def statuses(world: World) -> list[Status]:
    return [receipt.status for receipt in world.receipts()]


class TestOneDropIsOneJob:
    def test_of_300_files_whose_events_come_three_times_and_shuffled(self, world: World) -> None:
        world.shuffled = True
        paths = [f"data/digits/{kind}/{number}.png" for number in range(150) for kind in ("even", "odd")]
        for path in paths:
            world.drop(path, path.encode(), times=0)
        events = [path for path in paths for _ in range(3)]
        random.Random(1).shuffle(events)  # noqa: S311 - repeatable on purpose
        for path in events:
            world.announce(path)
        world.rest()
        assert len(world.training.jobs) == 1
        world.run_job()
        assert len(world.training.versions) == 1
        receipt = world.receipt()
        assert (receipt.status, receipt.received.data, len(receipt.received.data_files)) == (
            Status.REGISTERED,
            300,
            100,
        )
        assert receipt.repeats == ()

    def test_and_the_same_content_again_is_none(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert len(receipt.attempts) == len(world.training.jobs) == 1
        (repeat,) = receipt.repeats
        assert (
            repeat.outcome
            == f"The same content was dropped again; job {receipt.job} trained version 1 of model digits."
        )

    def test_and_one_byte_more_is_one_more(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"digits!")
        world.rest()
        world.run_job()
        assert statuses(world) == [Status.REGISTERED, Status.REGISTERED]
        assert [version.version for version in world.training.versions] == ["1", "2"]

    def test_and_late_events_are_no_drop(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        before = world.receipt()
        world.announce("data/digits/digits.npz", times=3)
        world.rest()
        assert world.receipt() == before


class TestWhatComesFirst:
    def test_data_then_script(self, world: World) -> None:
        world.drop("data/digits/notes.txt")
        world.rest()
        (waiting,) = world.receipts()
        assert (waiting.status, waiting.reason) == (Status.WAITING, "script")
        assert waiting.what_to_do is not None
        assert "scripts/digits/" in waiting.what_to_do
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert second.status is Status.SUBMITTED

    def test_script_then_data(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        (waiting,) = world.receipts()
        assert (waiting.status, waiting.reason, world.training.jobs) == (Status.WAITING, "data", {})
        world.drop("data/digits/anything.bin")
        world.rest()
        assert statuses(world) == [Status.SUPERSEDED, Status.SUBMITTED]

    def test_both_together(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert (receipt.status, receipt.received.scripts, receipt.received.data) == (Status.SUBMITTED, 1, 1)
        assert "python train.py" in receipt.spec["command"]
        assert world.blobs.read(naming.SNAPSHOTS, f"digits/{receipt.drop}/scripts/train.py").data == SCRIPT

    def test_data_alone_in_a_format_that_is_known(self, world: World) -> None:
        world.drop("data/digits/digits.npz")
        world.rest()
        assert world.receipt().status is Status.SUBMITTED
        assert "training_job.train" in world.receipt().spec["command"]

    def test_a_script_after_a_built_in_job_makes_a_second_one(self, world: World) -> None:
        world.drop("data/digits/digits.npz")
        world.rest()
        world.run_job()
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.followed_by) == (Status.REGISTERED, second.drop)
        assert second.status is Status.SUBMITTED

    def test_a_script_that_needs_no_data(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {data: none}\n")
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        receipt = world.receipt()
        assert receipt.status is Status.SUBMITTED
        assert "data" not in receipt.spec["inputs"]
        world.drop("data/digits/digits.npz")
        world.rest()
        assert len(world.training.jobs) == 1


class TestWaiting:
    def test_a_slow_upload_beside_fast_ones(self, world: World) -> None:
        world.drop_digits()
        for number in range(10):
            world.drop(f"data/digits/fast-{number}.npz")
        world.blobs.upload(naming.DATA, "digits/slow.npz", b"slow", committed=False)
        world.go_on(60)
        assert (world.training.jobs, world.receipts()) == ({}, [])
        world.drop("data/digits/slow.npz", b"slow", hashed=False)
        world.rest()
        assert world.receipt().received.data == 12
        assert world.receipt().received.counted_by_etag == 1

    def test_ends_after_max_wait(self, world: World) -> None:
        world.drop_digits()
        world.blobs.upload(naming.DATA, "digits/slow.npz", b"slow", committed=False)
        world.go_on(1790)
        assert world.training.jobs == {}
        world.go_on(30)
        assert len(world.training.jobs) == 1
        assert world.receipt().received.data == 1

    def test_ends_after_the_jobs_own_max_wait(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {max_wait: 60}}\n")
        world.drop_digits()
        world.blobs.upload(naming.DATA, "digits/slow.npz", b"slow", committed=False)
        world.go_on(50)
        assert world.training.jobs == {}
        world.go_on(30)
        assert len(world.training.jobs) == 1

    def test_for_a_stream_without_end_is_over_after_max_wait(self) -> None:
        world = World.make(max_wait=100)
        world.drop("scripts/digits/train.py", SCRIPT)
        for number in range(30):
            world.drop(f"data/digits/{number}.npz", times=2)
            world.go_on(5)
        assert world.training.jobs

    def test_for_a_file_that_says_that_the_others_are_complete(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {wait_for: _SUCCESS}}\n")
        world.drop_digits()
        world.rest()
        assert (world.receipt().status, world.receipt().reason) == (Status.WAITING, "_SUCCESS")
        world.drop("data/digits/_SUCCESS", b"")
        world.rest()
        receipt = world.receipt()
        assert (receipt.status, receipt.received.data) == (Status.SUBMITTED, 1)
        manifest = world.kedja.settler.snapshots.manifest("digits", receipt.drop)
        assert "_SUCCESS" in manifest.ignored

    def test_a_stale_one_says_nothing_of_newer_files(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {wait_for: _SUCCESS}}\n")
        world.drop("data/digits/_SUCCESS", b"")
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        assert (world.receipt().status, world.training.jobs) == (Status.WAITING, {})

    def test_while_the_training_service_does_not_answer(self, world: World) -> None:
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(3600)
        receipt = world.receipt()
        assert (world.failures, receipt.status, receipt.reason) == ([], Status.WAITING, "training service")
        assert "until 2026-03-02 12:0" in str(receipt.what_to_do)
        assert len(receipt.history) == 1
        world.training.unavailable = False
        world.rest()
        assert (world.receipt().status, len(world.training.jobs)) == (Status.SUBMITTED, 1)

    def test_while_the_app_lacks_a_role_says_which_and_goes_on_when_it_has_it(
        self, world: World, mocker: MockerFixture
    ) -> None:
        denied = AppNotAllowed("Compute cannot be listed. Give the app's identity the role AzureML Data Scientist.")
        patched = mocker.patch.object(MemoryTraining, "computes", side_effect=denied)
        world.drop_digits()
        world.go_on(3600)
        receipt = world.receipt()
        assert (world.failures, receipt.status, receipt.reason) == ([], Status.WAITING, "training service")
        assert str(receipt.what_to_do).startswith(f"{denied} Then Kedja asks the service again")
        mocker.stop(patched)
        world.rest()
        assert (world.receipt().status, len(world.training.jobs)) == (Status.SUBMITTED, 1)

    def test_for_a_moment_writes_no_receipt(self, world: World) -> None:
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(12)
        world.training.unavailable = False
        world.rest()
        assert statuses(world) == [Status.SUBMITTED]
        assert [change.status for change in world.receipt().history] == [Status.SUBMITTING, Status.SUBMITTED]

    def test_looks_ever_more_rarely_while_the_training_service_does_not_answer(self, world: World) -> None:
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(3600)
        asked = sum(call == ("computes", "") for call in world.training.calls)
        assert 6 < asked < 16
        (message,) = world.queues.messages
        assert 300 <= (message.visible - world.clock()).total_seconds() + 600 <= 1200

    def test_for_a_day_is_given_up_until_it_is_dropped_again(self, world: World) -> None:
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(25 * 3600)
        receipt = world.receipt()
        assert (receipt.status, world.queues.messages, world.opened()) == (Status.REJECTED, [], [])
        assert "not available for 24 hours: The training service is down." in str(receipt.reason)
        assert world.publisher.types() == ["Kedja.DropRejected"]
        world.training.unavailable = False
        world.drop_digits()
        world.rest()
        assert world.receipt().status is Status.SUBMITTED

    def test_that_is_lost_with_its_message_goes_on_by_reconcile(self, world: World) -> None:
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(300)
        world.queues.messages.clear()
        for name in world.markers():
            world.blobs.delete(naming.RECEIPTS, name)
        world.training.unavailable = False
        world.clock.advance(300)
        world.reconcile()
        world.rest()
        assert world.receipt().status is Status.SUBMITTED

    def test_for_a_service_and_then_for_data_is_not_looked_at_for_ever(self, world: World) -> None:
        world.training.unavailable = True
        world.drop("scripts/digits/train.py", SCRIPT)
        world.go_on(300)
        assert (world.receipt().reason, len(world.opened())) == ("training service", 1)
        world.training.unavailable = False
        world.rest()
        assert world.receipt().reason == "data"
        for _ in range(2):
            world.clock.advance(300)
            world.reconcile()
            world.rest()
        assert (world.receipt().reason, world.opened()) == ("data", [])
        world.drop("data/digits/digits.npz", b"digits")
        world.rest()
        assert [receipt.status for receipt in world.receipts()] == [Status.SUPERSEDED, Status.SUBMITTED]

    def test_for_data_keeps_its_mark_where_it_is_claimed_at_the_same_moment(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        receipt = world.receipt()
        world.kedja.receipts.set_open_mark("digits", receipt.drop)

        def claimed() -> None:
            world.kedja.receipts.change(
                receipt,
                lambda now: with_retry(now, "complete now", drop_order(world.clock()), world.clock(), AttemptOptions()),
            )

        other = host(world, blobs=lambda port: Meanwhile(port, "delete", claimed, about=".open/"))
        other.reconciler.run(id="r")
        assert (world.receipt().status, len(world.opened())) == (Status.SUBMITTING, 1)

    def test_for_a_service_changes_nothing_that_a_receipt_says_already(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.training.unavailable = True
        world.drop_digits()
        world.go_on(3600)
        assert world.receipt().status is Status.FAILED
        world.training.unavailable = False
        world.rest()
        assert [len(receipt.attempts) for receipt in world.receipts()] == [2]

    def test_for_a_compute_what_is_dropped_again_is_not_forgotten(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.training.compute_names.clear()
        world.drop_digits()
        world.go_on(3600)
        assert (world.receipt().status, world.receipt().repeats) == (Status.FAILED, ())
        world.training.compute_names.append("gpu-cluster")
        world.rest()
        assert [one.why for one in world.receipt().attempts] == ["first drop", "dropped again after failed"]

    def test_for_the_compute_that_is_not_deployed_yet(self, world: World) -> None:
        world.training.compute_names.clear()
        world.drop_digits()
        world.rest()
        assert (world.receipt().status, world.receipt().reason) == (Status.WAITING, "compute gpu-cluster")
        world.training.compute_names.append("gpu-cluster")
        world.clock.advance(300)
        world.reconcile()
        world.rest()
        assert world.receipt().status is Status.SUBMITTED

    def test_for_the_copy_of_a_script(self, world: World) -> None:
        world.blobs.hold_copies = True
        world.drop_digits()
        world.go_on(60)
        assert world.training.jobs == {}
        world.blobs.end_copies()
        world.rest()
        assert world.receipt().status is Status.SUBMITTED


class TestDroppedAgain:
    def test_after_a_failure_is_the_next_attempt(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert [attempt.why for attempt in receipt.attempts] == ["first drop", "dropped again after failed"]
        assert receipt.status is Status.SUBMITTED
        world.run_job()
        assert world.receipt().status is Status.REGISTERED

    def test_a_late_event_after_a_failure_is_not(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.announce("data/digits/digits.npz", times=3)
        world.rest()
        assert (world.receipt().status, len(world.training.jobs)) == (Status.FAILED, 1)

    def test_while_its_job_is_being_canceled_waits_for_that(self, world: World) -> None:
        """Dropped, overwritten and put back: what lies there in the end is what is trained."""
        world.drop_digits()
        world.rest()
        world.tells_of_runs = False
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other")
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"digits")
        world.go_on(60)
        assert [receipt.status for receipt in world.receipts()] == [Status.CANCELING, Status.SUBMITTED]
        world.reconcile()
        world.rest()
        world.reconcile()
        world.rest()
        first, second = world.receipts()
        assert (first.status, len(first.attempts)) == (Status.STARTING, 2)
        assert second.status is Status.SUPERSEDED

    def test_a_receipt_that_waits_is_seen_by_the_walk_as_the_latest(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        world.clock.advance(60)
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        world.reconcile()
        assert world.queues.messages == []

    def test_after_it_was_superseded_waits_again(self, world: World) -> None:
        for script in (b"first", b"second", b"first"):
            world.clock.advance(60)
            world.drop("scripts/digits/train.py", script)
            world.rest()
        first, second = world.receipts()
        assert (first.status, first.reason, first.superseded_by) == (Status.WAITING, "data", None)
        assert (second.status, second.superseded_by) == (Status.SUPERSEDED, first.drop)
        world.announce("scripts/digits/train.py", times=2)
        world.rest()
        assert [receipt.status for receipt in world.receipts()] == [Status.WAITING, Status.SUPERSEDED]

    def test_by_force_is_the_next_attempt_of_whatever_came_of_it(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.kedja.jobs.submit({"experiment_name": "digits"}, trigger="api", code=False, force=True)
        receipt = world.receipt()
        assert (receipt.status, receipt.model) == (Status.SUBMITTED, None)
        world.run_job()
        receipt = world.receipt()
        assert receipt.model is not None
        assert (receipt.status, receipt.model.version, len(receipt.attempts)) == (Status.REGISTERED, "2", 2)


class TestOverwritten:
    def test_while_its_job_waits_for_a_node(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert [job.status for job in world.training.jobs.values()] == ["canceled", "starting"]
        assert "Kedja.JobCanceled" in world.publisher.types()

    def test_while_its_job_runs_leaves_that_alone(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        job = world.live_jobs()[0].name
        world.training.move(job, world.training.jobs[job].status.RUNNING)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        assert [job.status for job in world.training.jobs.values()] == ["running", "starting"]
        world.run_job(job, exit_code=65, result="changed-since-snapshot", reason="digits.npz changed")
        first, second = world.receipts()
        assert (first.status, first.reason) == (Status.FAILED, "changed-since-snapshot: digits.npz changed")
        assert (first.followed_by, second.status) == (second.drop, Status.SUBMITTED)

    def test_where_job_yaml_wants_both(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {supersede: false}}\n")
        world.drop_digits()
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        assert [job.status for job in world.training.jobs.values()] == ["starting", "starting"]


class TestDeleted:
    def test_files_alone_are_no_drop(self, world: World) -> None:
        world.drop("data/digits/more.npz")
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        assert world.blobs.delete(naming.DATA, "digits/more.npz")
        world.announce("data/digits/more.npz")
        world.rest()
        world.reconcile()
        world.rest()
        assert len(world.receipts()) == len(world.training.jobs) == 1

    def test_and_one_written_are_one(self, world: World) -> None:
        world.drop("data/digits/more.npz")
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        assert world.blobs.delete(naming.DATA, "digits/more.npz")
        world.drop("data/digits/digits.npz", b"digits")
        world.rest()
        assert len(world.receipts()) == len(world.training.jobs) == 2

    def test_a_whole_folder_is_nothing(self, world: World) -> None:
        world.announce("data/digits/gone.npz")
        world.rest()
        assert (world.receipts(), world.markers(), world.opened()) == ([], [], [])


@pytest.mark.parametrize(
    ("job_yaml", "expected"),
    [
        (b"compute: gpu-cluster\ncomand: python x.py\n", ["line 2", "comand", "command"]),
        (b"kedja:\n  arguments: 3\n", ["line 2", "kedja.arguments", "mapping"]),
        (b"compute: gpu-cluser\n", ["line 1", "compute", "gpu-cluster", "cpu-cluster"]),
        (b"\nkedja: {entry_script: ../other/train.py}\n", ["line 2", "kedja.entry_script", "../other/train.py"]),
        (b"a: [\n", ["line"]),
    ],
    ids=["misspelt key", "wrong type", "unknown compute", "path outside of the drop", "no YAML"],
)
def test_a_wrong_job_yaml_is_rejected_with_line_and_key(world: World, job_yaml: bytes, expected: list[str]) -> None:
    world.drop("scripts/digits/job.yaml", job_yaml)
    world.drop_digits()
    world.rest()
    receipt = world.receipt()
    assert (receipt.status, world.training.jobs) == (Status.REJECTED, {})
    assert receipt.reason is not None
    assert [word for word in expected if word.lower() not in receipt.reason.lower()] == []
    assert world.publisher.types() == ["Kedja.DropRejected"]
    assert (world.opened(), world.markers()) == ([], [])


def test_an_empty_job_yaml_asks_for_every_default(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"")
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_a_rejected_drop_is_submitted_once_it_is_mended(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"comand: x\n")
    world.drop_digits()
    world.rest()
    world.clock.advance(60)
    world.drop("scripts/digits/job.yaml", b"compute: cpu-cluster\n")
    world.rest()
    assert statuses(world) == [Status.REJECTED, Status.SUBMITTED]


class TestOutsideOfAnyFolder:
    def test_a_file_is_rejected(self, world: World) -> None:
        world.drop("data/digits.npz")
        world.drop("scripts/train.py")
        world.rest()
        receipts = world.receipts("_root")
        assert {receipt.folder for receipt in receipts} == {"digits.npz", "train.py"}
        assert {receipt.status for receipt in receipts} == {Status.REJECTED}
        (data,) = [receipt for receipt in receipts if receipt.folder == "digits.npz"]
        assert data.what_to_do == "Drop it into a folder: data/<experiment>/digits.npz."
        assert world.publisher.types() == ["Kedja.DropRejected"] * 2
        assert world.opened() == []

    def test_one_that_is_gone_again_is_nothing(self, world: World) -> None:
        world.announce("data/digits.npz")
        world.rest()
        assert world.receipts("_root") == []


class TestPaused:
    def test_nothing_is_taken_and_nothing_is_lost(self, world: World) -> None:
        world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"{}")
        world.drop_digits()
        for _ in range(40):
            world.go_on(300)
            world.reconcile()
        assert world.receipts() == []
        assert len(world.queues.messages) == 1
        world.blobs.delete(naming.RECEIPTS, naming.PAUSED_BLOB)
        world.rest()
        assert world.receipt().status is Status.SUBMITTED

    def test_does_not_count_as_waiting_for_files(self, world: World) -> None:
        world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"{}")
        world.drop_digits()
        world.go_on(7200)
        world.blobs.upload(naming.DATA, "digits/slow.npz", b"", committed=False)
        world.blobs.delete(naming.RECEIPTS, naming.PAUSED_BLOB)
        world.go_on(120)
        assert world.receipts() == []


def test_a_drop_is_on_the_page_of_receipts(world: World) -> None:
    world.drop_digits()
    world.rest()
    summaries, token = world.kedja.receipts.page(size=10)
    receipt: Receipt = world.receipt()
    assert [(one.drop, one.status, one.job) for one in summaries] == [(receipt.drop, "submitted", receipt.job)]
    assert token is None
