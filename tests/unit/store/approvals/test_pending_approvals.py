"""Drops that wait for an approval, from the note about them until they continue."""

from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Status
from function_app.jobspec.schema import JobSpec
from function_app.settings import Settings
from function_app.store import approvals as approvals_module
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import MOST_DELIVERIES, World, assembled
from tests.unit.store.approvals.waiting import approved, digest_of, pending, waiting


def test_files_that_changed_before_the_approval_are_a_drop_of_their_own(world: World) -> None:
    receipt = waiting(world)
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"harm")
    world.kedja.approval_service.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert world.training.jobs == {}


def test_an_approval_before_the_receipt_is_written_waits_for_it(world: World) -> None:
    """The approver sees the note of a drop whose receipt comes a moment later."""
    world.drop_digits()
    approvals = world.kedja.settler.approvals
    drop = Drop.list_drop(world.blobs, "digits")
    digest = approvals.digest(drop, JobSpec())
    assert digest is not None
    pending = approvals_module.PendingApproval(digest=digest, ref=drop.ref(JobSpec().canonical()))
    assert not approvals.check_or_note(pending)
    world.kedja.approval_service.approve(digest, by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
    assert list(approvals.waiting()) == []


def test_nothing_is_read_where_none_is_asked_for() -> None:
    world = World.make()
    world.drop_digits()
    world.rest()
    assert world.receipt().received.code_sha256 is None
    read = [call for call in world.blobs.calls if call.operation == "read" and call.container == naming.SCRIPTS]
    assert [call.name for call in read] == ["digits/train.py"]  # by the check for Python 2


def test_waiting_for_an_approval_has_no_end(world: World) -> None:
    receipt = waiting(world)
    world.clock.now += timedelta(days=30)
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.WAITING
    world.kedja.approval_service.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_an_approval_waits_for_a_training_service_that_is_away(world: World) -> None:
    waiting(world)
    world.training.unavailable = True
    world.kedja.approval_service.approve(digest_of(world.receipt()), by="ada", note=None)
    world.go_on(1800)
    assert (world.failures, world.receipt().status) == ([], Status.WAITING)
    world.training.unavailable = False
    world.rest(patience=601)
    assert (world.failures, world.receipt().status, pending(world)) == ([], Status.SUBMITTED, [])


def test_an_approval_waits_for_a_script_that_is_being_copied(world: World) -> None:
    approved(world)
    world.blobs.hold_copies = True
    world.go_on(900)
    assert (world.failures, world.receipt().status) == ([], Status.WAITING)
    world.blobs.hold_copies = False
    world.blobs.end_copies()
    world.rest(patience=61)
    assert (world.failures, world.receipt().status) == ([], Status.SUBMITTED)


def test_an_approval_that_waits_for_more_than_a_day_draws_attention(world: World) -> None:
    approved(world)
    world.training.unavailable = True
    world.rest(patience=25 * 3600)
    assert "TrainingServiceUnavailable" in world.failures[0]
    assert len(world.failures) == MOST_DELIVERIES
    (note,) = world.receipt().attention
    assert "A message of settled-drops could not be processed: TrainingServiceUnavailable" in note


def test_an_approval_whose_message_was_lost_is_carried_out_by_reconcile(world: World) -> None:
    approved(world)
    world.queues.messages.clear()
    world.reconcile()
    world.rest()
    assert (world.receipt().status, pending(world)) == (Status.SUBMITTED, [])


def test_messages_of_reconcile_do_not_add_up(world: World) -> None:
    approved(world)
    world.queues.messages.clear()
    world.training.unavailable = True
    for _ in range(5):
        world.reconcile()
        world.go_on(300)
        assert world.queues.messages == []
    assert world.failures == []
    world.training.unavailable = False
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_what_waits_goes_on_where_no_approval_is_asked_for_any_more(world: World) -> None:
    waiting(world)
    world.kedja = assembled(Settings(), world.blobs, world.queues, world.training, world.publisher, world.clock)
    world.reconcile()
    world.rest()
    assert (world.receipt().status, pending(world)) == (Status.SUBMITTED, [])


def test_what_waits_for_an_approval_and_has_none_stays_noted(world: World) -> None:
    waiting(world)
    world.clock.advance(3600)
    world.reconcile()
    assert len(pending(world)) == 1


def test_a_note_is_forgotten_whose_drop_was_superseded(world: World) -> None:
    waiting(world)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"other code")
    world.rest()
    assert len(pending(world)) == 2
    world.clock.advance(601)
    world.reconcile()
    (receipt,) = [one for one in world.receipts() if one.status is Status.WAITING]
    assert [name.rpartition("/")[2] for name in pending(world)] == [receipt.drop]


def test_a_note_is_forgotten_whose_drop_was_deleted(world: World) -> None:
    waiting(world)
    world.kedja.experiments.delete("digits", by="ada", force=False)
    world.clock.advance(601)
    world.reconcile()
    assert (world.receipts(), pending(world)) == ([], [])


def test_a_note_is_forgotten_whose_files_have_changed(world: World) -> None:
    receipt = waiting(world)
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"other code")
    world.kedja.approval_service.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert (world.training.jobs, pending(world)) == ({}, [])


def test_a_note_is_kept_while_its_receipt_may_be_about_to_be_written(world: World) -> None:
    note = approvals_module.PendingApproval(digest="0" * 64, ref=DropRef("digits", "1" * 64))
    assert not world.kedja.approval_service.approvals.check_or_note(note)
    world.clock.advance(599)
    world.reconcile()
    assert len(pending(world)) == 1
    assert not world.kedja.approval_service.approvals.check_or_note(note)
    world.clock.advance(599)
    world.reconcile()
    assert len(pending(world)) == 1
    world.clock.advance(2)
    world.reconcile()
    assert pending(world) == []


def test_a_note_that_is_written_again_meanwhile_stays(world: World) -> None:
    one = approvals_module.PendingApproval(digest="0" * 64, ref=DropRef("digits", "1" * 64))
    world.kedja.approval_service.approvals.check_or_note(one)
    world.clock.advance(601)

    def note_again() -> None:
        world.kedja.approval_service.approvals.check_or_note(one)

    other = host(world, blobs=lambda port: Meanwhile(port, "read", note_again, about="digits/1111"))
    other.approval_service.reconcile(world.clock())
    assert list(world.kedja.approval_service.approvals.waiting()) == [one]


def test_a_drop_that_cannot_be_read_does_not_keep_others_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    approved(world)
    world.queues.messages.clear()
    broken = approvals_module.PendingApproval(digest="0" * 64, ref=DropRef("aaa", "bad"))
    world.kedja.approval_service.approvals.check_or_note(broken)
    world.blobs.upload(naming.RECEIPTS, "aaa/bad.json", b"{}")
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
    assert f"{broken.blob} could not be reconciled" in caplog.text


def test_no_drop_is_looked_at_after_the_time_of_the_round(world: World) -> None:
    for number in range(3):
        world.kedja.approval_service.approvals.check_or_note(
            approvals_module.PendingApproval(digest=f"{number}" * 64, ref=DropRef("digits", "1" * 64))
        )
    world.clock.advance(601)
    world.kedja.approval_service.reconcile(world.clock() - timedelta(seconds=1))
    assert len(pending(world)) == 2


def test_a_message_that_names_no_digest_is_kept_with_what_is_wrong_with_it(world: World) -> None:
    receipt = waiting(world)
    broken = {"kind": "approved", "experiment": receipt.experiment, "drop": receipt.drop}
    world.queues.send(naming.SETTLED_DROPS, broken)
    world.rest()
    assert world.failures[0] == "InvalidEvent: The message cannot be read: approved.digest: Field required"
    assert "digest: Field required" in world.receipt().attention[0]


def test_an_approval_during_a_deletion_waits_for_its_end(world: World) -> None:
    digest = digest_of(waiting(world))
    world.kedja.experiments.delete("digits", by="ada", force=False)
    world.kedja.approval_service.approve(digest, by="ada", note=None)
    world.go_on(400)

    assert world.failures == []
    world.clock.advance(400)
    world.reconcile()
    world.rest()
    assert (world.failures, world.receipts()) == ([], [])
    assert list(world.kedja.settler.approvals.waiting(digest)) == []
