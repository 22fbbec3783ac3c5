from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.cloud_events import EventType
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt, Status
from function_app.errors import NotFound, Unreadable
from function_app.store.receipts import ATTEMPTS_TO_WRITE, ReceiptBusy, Receipts
from tests.unit.memory import MemoryBlobs
from tests.unit.memory_training import MemoryPublisher
from tests.unit.sample_receipt import NOW, make
from tests.unit.simulation import World

DROP = "d" * 64
REF = DropRef("digits", DROP)


@pytest.fixture
def receipts(world: World) -> Receipts:
    return world.kedja.receipts


def index(blobs: MemoryBlobs) -> dict[str, str]:
    (name,) = blobs.names_in(naming.RECEIPTS, ".by-time/")
    return dict(blobs.stored[naming.RECEIPTS, name].item.metadata)


class TestCreate:
    def test_writes_a_receipt_and_its_index(self, receipts: Receipts, blobs: MemoryBlobs) -> None:
        assert receipts.create(make()) == make() == receipts.load(REF)
        times = {"received": NOW.isoformat(), "updated": NOW.isoformat()}
        assert index(blobs) == {"status": "submitting", "job": "digits-1", **times}
        item = blobs.get(naming.RECEIPTS, f"digits/{DROP}.json")
        assert item is not None
        assert item.metadata == index(blobs)

    def test_returns_the_one_that_someone_else_wrote_first(self, receipts: Receipts) -> None:
        receipts.create(make())
        assert receipts.create(make(Status.FAILED)) == make()


class TestLoad:
    def test_fails_where_there_is_none(self, receipts: Receipts) -> None:
        with pytest.raises(NotFound, match="no receipt digits/x"):
            receipts.load(DropRef("digits", "x"))
        assert receipts.find(DropRef("digits", "x")) is None

    def test_fails_where_something_else_lies_in_its_place(self, receipts: Receipts, blobs: MemoryBlobs) -> None:
        blobs.upload(naming.RECEIPTS, f"digits/{DROP}.json", b"{}")
        with pytest.raises(Unreadable, match="cannot be read"):
            receipts.load(REF)


class TestChange:
    def test_writes_what_the_edit_returns(self, receipts: Receipts, blobs: MemoryBlobs) -> None:
        receipt = receipts.create(make())
        changed = receipts.change(receipt, lambda now: now.with_status(Status.SUBMITTED, NOW))
        assert receipts.load(REF) == changed
        assert changed.status is Status.SUBMITTED
        assert index(blobs)["status"] == "submitted"

    def test_writes_nothing_where_the_edit_changes_nothing(self, receipts: Receipts, blobs: MemoryBlobs) -> None:
        receipt = receipts.create(make())
        before = len(blobs.calls)
        assert receipts.change(receipt, lambda now: now) == receipt
        assert [call.operation for call in blobs.calls[before:]] == ["read"]

    def test_starts_again_from_what_someone_else_wrote(self, receipts: Receipts) -> None:
        receipt = receipts.create(make())
        seen: list[int] = []

        def edit(now: Receipt) -> Receipt:
            seen.append(now.sequence)
            if len(seen) < 3:
                receipts.change(receipt, lambda current: current.replace(sequence=current.sequence + 1))
            return now.replace(folder="mine")

        changed = receipts.change(receipt, edit)
        assert (seen, changed.sequence, changed.folder) == ([1, 2, 3], 3, "mine")

    def test_gives_up_after_many_lost_races(self, receipts: Receipts) -> None:
        receipt = receipts.create(make())
        tries: list[int] = []

        def edit(now: Receipt) -> Receipt:
            tries.append(1)
            receipts.change(receipt, lambda current: current.replace(sequence=current.sequence + 1))
            return now.replace(folder="mine")

        with pytest.raises(ReceiptBusy):
            receipts.change(receipt, edit)
        assert len(tries) == ATTEMPTS_TO_WRITE

    def test_does_not_wait_for_a_lease(self, receipts: Receipts, blobs: MemoryBlobs) -> None:
        receipt = receipts.create(make())
        with blobs.lease(naming.RECEIPTS, f"digits/{DROP}.json", 60) as lease:
            before = len(blobs.calls)
            with pytest.raises(ReceiptBusy, match="locked while a registration is in progress"):
                receipts.change(receipt, lambda now: now.replace(folder="other's"))
            assert len(blobs.calls) - before < 5
            assert receipts.change(receipt, lambda now: now.replace(folder="mine"), lease=lease).folder == "mine"

    def test_fails_where_it_was_deleted(self, receipts: Receipts) -> None:
        with pytest.raises(NotFound):
            receipts.change(make(), lambda now: now)


class TestFlush:
    def test_publishes_and_empties_the_outbox(self, receipts: Receipts, publisher: MemoryPublisher) -> None:
        receipt = receipts.create(make(Status.RUNNING).with_event(EventType.JOB_SUBMITTED, NOW))
        receipts.set_open_mark(REF)
        assert receipts.publish_outbox(receipt).outbox == ()
        assert receipts.load(REF).outbox == ()
        assert publisher.types() == ["Kedja.JobSubmitted"]
        assert list(receipts.list_open()) == [REF]

    def test_keeps_what_was_refused_and_sends_it_again_with_the_same_id(
        self, receipts: Receipts, publisher: MemoryPublisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        receipt = receipts.create(make(Status.FAILED).with_event(EventType.JOB_FAILED, NOW))
        receipts.set_open_mark(REF)
        publisher.refuses = True
        assert receipts.publish_outbox(receipt).outbox == receipt.outbox
        assert "The topic accepts nothing now." in caplog.text
        assert list(receipts.list_open()) == [REF]
        publisher.refuses = False
        receipts.publish_outbox(receipts.load(REF))
        assert publisher.published == list(receipt.outbox)
        assert list(receipts.list_open()) == []

    def test_an_event_that_is_refused_for_good_blocks_no_other_and_is_given_up_after_a_day(
        self, world: World, receipts: Receipts, publisher: MemoryPublisher
    ) -> None:
        now = world.clock()
        made = make(Status.FAILED).with_event(EventType.JOB_SUBMITTED, now).with_event(EventType.JOB_FAILED, now)
        receipt = receipts.create(made)
        refused, accepted = receipt.outbox
        receipts.set_open_mark(REF)
        publisher.refused = {refused.id}
        assert receipts.publish_outbox(receipt).outbox == (refused,)
        assert publisher.published == [accepted]
        world.clock.advance(24 * 3600)
        assert receipts.publish_outbox(receipts.load(REF)).attention == ()
        assert list(receipts.list_open()) == [REF]
        world.clock.advance(1)
        given_up = receipts.publish_outbox(receipts.load(REF))
        assert given_up.outbox == ()
        assert refused.id in given_up.attention[0]
        assert publisher.published == [accepted]
        assert list(receipts.list_open()) == []

    def test_an_event_that_is_refused_and_repaired_within_a_day_is_published(
        self, world: World, receipts: Receipts, publisher: MemoryPublisher
    ) -> None:
        receipt = receipts.create(make(Status.FAILED).with_event(EventType.JOB_FAILED, world.clock()))
        publisher.refused = {receipt.outbox[0].id}
        receipts.publish_outbox(receipt)
        publisher.refused = set()
        assert receipts.publish_outbox(receipts.load(REF)).outbox == ()
        assert publisher.published == list(receipt.outbox)

    def test_nothing_is_given_up_where_the_topic_is_down(
        self, world: World, receipts: Receipts, publisher: MemoryPublisher
    ) -> None:
        receipt = receipts.create(make(Status.FAILED).with_event(EventType.JOB_FAILED, world.clock()))
        publisher.refuses = True
        world.clock.advance(48 * 3600)
        assert receipts.publish_outbox(receipt).outbox == receipt.outbox

    def test_keeps_what_came_into_the_outbox_meanwhile(self, receipts: Receipts) -> None:
        receipt = receipts.create(make(Status.FAILED).with_event(EventType.JOB_SUBMITTED, NOW))
        receipts.change(receipt, lambda now: now.with_event(EventType.JOB_FAILED, NOW))
        assert [event.type for event in receipts.publish_outbox(receipt).outbox] == [EventType.JOB_FAILED]

    def test_closes_what_is_final(self, receipts: Receipts) -> None:
        for status, closed in ((Status.RUNNING, False), (Status.COMPLETED, False), (Status.FAILED, True)):
            receipt = receipts.create(make(status).replace(drop=f"{status}"))
            receipts.set_open_mark(receipt.ref)
            receipts.publish_outbox(receipt)
            assert (receipt.ref not in list(receipts.list_open())) == closed


class TestLatest:
    def test_moves_forward_only(self, receipts: Receipts) -> None:
        assert receipts.latest("digits") is None
        first, second = (make().replace(drop=str(number) * 64, sequence=number) for number in (1, 2))
        assert receipts.advance(first).drop == first.drop
        assert receipts.advance(second).follows == first.drop
        assert receipts.advance(first).drop == second.drop
        latest = receipts.latest("digits")
        assert latest is not None
        assert (latest.drop, latest.receipt) == (second.drop, f"digits/{second.drop}.json")

    def test_of_two_in_one_second_is_always_the_same(self, receipts: Receipts) -> None:
        for order in ("ab", "ba"):
            for letter in order:
                receipts.advance(make().replace(drop=letter * 64, experiment=order))
            latest = receipts.latest(order)
            assert latest is not None
            assert latest.drop == "b" * 64

    def test_of_two_in_one_second_the_one_that_has_the_newer_file_is_later(self, receipts: Receipts) -> None:
        older, newer = (
            make().replace(drop="b" * 64),
            make().replace(drop="a" * 64, newest_upload=NOW + timedelta(seconds=1)),
        )
        for order in ("on", "no"):
            for one in (older, newer) if order == "on" else (newer, older):
                receipts.advance(one.replace(experiment=order))
            latest = receipts.latest(order)
            assert latest is not None
            assert latest.newest_upload == newer.newest_upload

    def test_dropped_again_still_follows_what_it_followed(self, receipts: Receipts) -> None:
        first, second = (make().replace(drop=str(number) * 64, sequence=number) for number in (1, 2))
        receipts.advance(first)
        receipts.advance(second)
        assert receipts.advance(second.replace(sequence=9)).follows == first.drop


def test_pages_are_newest_first(receipts: Receipts) -> None:
    for day in range(5):
        receipts.create(make().replace(drop=str(day) * 64, received_at=NOW + timedelta(days=day)))
    first, token = receipts.page(size=3)
    second, end = receipts.page(size=3, token=token)
    assert [one.drop[0] for one in [*first, *second]] == ["4", "3", "2", "1", "0"]
    assert (first[0].received_at, end) == (NOW + timedelta(days=4), None)


def test_opened_ones_of_an_experiment_are_not_those_of_its_namesakes(receipts: Receipts) -> None:
    for experiment in ("a", "ab", "a-b"):
        receipts.set_open_mark(DropRef(experiment, DROP))
    assert list(receipts.list_open("a")) == [DropRef("a", DROP)]
    assert len(list(receipts.list_open())) == 3
