from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.jobs.job_queue import JobQueue
from function_app.operations.approvals import ApprovalService
from function_app.operations.reconciliation import Reconciler
from function_app.operations.stale_markers import StaleMarkers
from function_app.ports.storage import Blob
from function_app.ports.training_service import JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory import MemoryBlobs
from tests.unit.operations.timer_rounds import TIMING, rounds
from tests.unit.simulation import SCRIPT, World


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
        world.blobs.delete(naming.RECEIPTS, naming.open_blob(world.receipt("aaa").ref))
        world.blobs.delete(naming.RECEIPTS, naming.open_blob(world.receipt("zzz").ref))
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
        world.kedja.submitter.job_queue.slots.adopt({str(receipt.job): receipt.name for receipt in queued})
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
