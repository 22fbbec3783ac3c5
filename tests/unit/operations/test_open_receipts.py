from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Status
from function_app.ports.storage import Blob
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory import MemoryBlobs
from tests.unit.operations.timer_rounds import TIMING, rounds
from tests.unit.simulation import SCRIPT, World


def die_before_submission(world: World) -> None:
    """Have the host that takes a drop be killed between its claim and its submission."""

    def die() -> None:
        raise KeyboardInterrupt

    world.drop_digits()
    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", die))
    with pytest.raises(KeyboardInterrupt):
        world.go_on(60)


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
        world.kedja.receipts.set_open_mark(DropRef("digits", "0" * 64))
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
        assert f"no longer knows the job {receipt.job}." in str(receipt.reason)
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
        assert f"no longer knows the job {receipt.job}." in str(receipt.reason)
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
        world.kedja.receipts.set_open_mark(DropRef("aaa", "bad"))
        world.tells_of_runs = False
        world.training.finish(world.live_jobs()[0].name)
        rounds(world)
        assert world.receipt().status is Status.REGISTERED

    def test_one_that_is_gone_is_closed(self, world: World) -> None:
        world.kedja.receipts.set_open_mark(DropRef("digits", "gone"))
        for seconds in (601, 241):
            assert world.opened() == [".open/digits/gone"]
            world.clock.advance(seconds)
            world.reconcile()
        assert world.opened() == []


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
