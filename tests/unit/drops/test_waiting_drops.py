from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.attempt import AttemptOptions
from function_app.domain.receipt import Status
from function_app.domain.receipt_transitions import drop_order, with_retry
from function_app.errors import AppNotAllowed
from tests.unit.drops.statuses import statuses
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import SCRIPT, World


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
        manifest = world.kedja.submitter.snapshots.manifest(receipt.ref)
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
        world.kedja.receipts.set_open_mark(receipt.ref)

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
