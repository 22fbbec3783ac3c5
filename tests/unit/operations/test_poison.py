import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.operations.poison import PoisonMessage
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory import Message
from tests.unit.simulation import World


def kept(world: World) -> PoisonMessage:
    (name,) = world.blobs.names_in(naming.RECEIPTS, ".poison/")
    return PoisonMessage.from_bytes(world.blobs.stored[naming.RECEIPTS, name].data)


@pytest.mark.parametrize("queue", naming.QUEUES)
@pytest.mark.parametrize("body", [b"no json", b"\xff\xfe", b"[1]", b"{}", b'{"kind": "submit"}', b'{"kind": "look"}'])
def test_a_message_that_fails_ten_times_is_kept_whole(world: World, queue: str, body: bytes) -> None:
    world.queues.put(queue, body)
    world.rest()
    poison = kept(world)
    assert (poison.queue, poison.body) == (queue, body.decode(errors="replace"))
    assert poison.reason
    assert world.failures == [world.failures[0]] * 10
    assert poison.reason == world.failures[0]


class Broken(World):
    """A world whose service cannot find models."""

    def call(self, message: Message) -> None:
        def fail() -> None:
            raise ZeroDivisionError("a defect")

        self.kedja = host(self, training=lambda port: Meanwhile(port, "find_model", fail))
        super().call(message)


def test_its_receipt_asks_for_attention_and_keeps_its_status() -> None:
    world = Broken.make()
    world.drop_digits()
    world.rest()
    world.training.finish(world.live_jobs()[0].name)
    world.rest()
    receipt = world.receipt()
    assert receipt.status is Status.COMPLETED
    (note,) = receipt.attention
    assert "A message of run-events could not be processed: ZeroDivisionError: a defect" in note
    assert world.opened() == [f".open/digits/{receipt.drop}"]


def test_a_message_that_works_after_all_is_not_kept(world: World) -> None:
    world.drop("data/digits/digits.npz", times=0)
    world.clock.advance(60)
    body = b'{"kind": "settle", "experiment": "digits", "folder": "digits", "trigger": "t"}'
    world.queues.put(f"{naming.SETTLED_DROPS}-poison", body)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
    assert world.blobs.names_in(naming.RECEIPTS, ".poison/") == []


def test_notes_do_not_pile_up(world: World) -> None:
    world.drop_digits()
    world.rest()
    for number in range(15):
        poison = PoisonMessage(queue="run-events", message=f"m{number}", body="", reason="r", at=world.clock())
        world.kedja.poison.note_on_receipt(poison, world.receipt())
    receipt = world.receipt()
    assert len(receipt.attention) == 10
    assert receipt.attention[-1].endswith("(m14)")


def test_a_receipt_that_cannot_be_written_keeps_no_message_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.drop_digits()
    world.rest()
    receipt = world.receipt()
    poison = PoisonMessage(queue="run-events", message="m", body="", reason="r", at=world.clock())
    with world.blobs.lease(naming.RECEIPTS, f"{receipt.name}.json", 60):
        world.kedja.poison.note_on_receipt(poison, receipt)
    world.kedja.poison.note_on_receipt(poison, None)
    assert "A poison message could not be noted on the receipt" in caplog.text
