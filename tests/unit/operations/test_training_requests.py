"""What events ask for: kept apart from messages until it is answered, in whatever way the messages came."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from function_app.domain import naming
from function_app.errors import BlobNotFound, KedjaError, StorageUnavailable
from function_app.operations.poison import PoisonMessage
from function_app.ports.storage import Blob
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import World

VALUE = "swordfish"
SPEC = {"experiment_name": "digits", "environment_variables": {"PASSWORD": VALUE}}
EVENT = {"specversion": "1.0", "id": "9", "source": "/shop", "type": "Kedja.TrainingRequested", "data": SPEC}
OLD = {"kind": "request", "source": "/shop", "code": True, "spec": SPEC, "tries": 0, "since": None, "again": True}
"""The message of an older release, whole."""


def digits(world: World) -> None:
    world.drop("scripts/digits/train.py", times=0)
    world.drop("data/digits/digits.npz", times=0)


def kept(world: World) -> list[str]:
    return world.blobs.names_in(naming.SNAPSHOTS, ".requests/")


def told(world: World) -> str:
    """Return all that queues and receipts hold."""
    blobs = [stored.data for (container, _), stored in world.blobs.stored.items() if container == naming.RECEIPTS]
    return repr((blobs, [message.body for message in world.queues.messages]))


def poisoned(world: World) -> list[PoisonMessage]:
    places = world.blobs.names_in(naming.RECEIPTS, ".poison/")
    return [PoisonMessage.from_bytes(world.blobs.stored[naming.RECEIPTS, name].data) for name in places]


def replay(world: World) -> Any:  # noqa: ANN401 - JSON
    return Client(api_over(lambda: world.kedja, LOCAL)).post("/api/replay", json={"all": True}).json()


def variables(world: World) -> object:
    (job,) = world.live_jobs()
    return world.training.requests[job.name].document["environment_variables"]


def ask(world: World) -> None:
    """Have an event ask for it."""
    assert world.kedja.event_ingest.ingest(EVENT, code=True)


def ask_as_before(world: World) -> None:
    """Have a message on the queue that an older release put there."""
    world.queues.send(naming.SETTLED_DROPS, OLD)


ways = pytest.mark.parametrize("way", [ask, ask_as_before])


def test_a_message_has_an_id_and_no_values(world: World) -> None:
    ask(world)
    (message,) = world.queues.messages
    values = json.loads(message.body)
    assert values.keys() == {"kind", "source", "code", "experiment", "id", "tries", "since", "again"}
    assert kept(world) == [f".requests/digits/{values['id']}.json"]
    assert json.loads(world.blobs.read(naming.SNAPSHOTS, kept(world)[0]).data) == SPEC


@ways
def test_what_was_answered_is_forgotten(world: World, way: Callable[[World], None]) -> None:
    digits(world)
    way(world)
    world.rest()
    assert world.receipt().trigger == "event: /shop"
    assert variables(world) == SPEC["environment_variables"]
    assert kept(world) == []


def test_a_message_that_comes_again_does_nothing(world: World) -> None:
    digits(world)
    ask(world)
    (message,) = world.queues.messages
    world.rest()
    before = world.receipt()
    world.queues.put(naming.SETTLED_DROPS, message.body)
    world.rest()
    assert (world.receipt(), world.failures) == (before, [])


@pytest.mark.parametrize("after", [False, True])
def test_killed_before_it_is_forgotten_it_is_answered_once(world: World, *, after: bool) -> None:
    digits(world)
    ask(world)
    (message,) = world.queues.messages

    def die() -> None:
        raise ZeroDivisionError("killed")

    broken = host(world, blobs=lambda port: Meanwhile(port, "delete", die, about=".requests/", after=after))
    with pytest.raises(ZeroDivisionError):
        broken.on_settled(message.body, message=message.id)
    world.rest()
    assert (len(world.receipt().attempts), kept(world), world.failures) == (1, [], [])


@ways
def test_what_is_put_off_stays_apart(world: World, way: Callable[[World], None]) -> None:
    digits(world)
    world.training.unavailable = True
    way(world)
    world.go_on(1800)
    assert VALUE not in told(world)
    assert len(kept(world)) == 1
    world.training.unavailable = False
    world.rest(patience=601)
    assert variables(world) == SPEC["environment_variables"]
    assert (kept(world), world.failures) == ([], [])


@ways
def test_what_failed_is_kept_without_values_and_replayed(world: World, way: Callable[[World], None]) -> None:
    way(world)  # before its files
    world.rest()
    (poison,) = poisoned(world)
    assert poison.reason.startswith("NotFound")
    assert VALUE not in told(world)

    digits(world)
    assert len(replay(world)["replayed"]) == 1
    assert VALUE not in told(world)
    world.rest()
    assert variables(world) == SPEC["environment_variables"]
    assert poisoned(world) == []


@pytest.mark.parametrize("spec", [VALUE, [VALUE], {"experiment_name": [VALUE]}, {"environment_variables": VALUE}])
@pytest.mark.parametrize("source", ["/shop", None])
def test_of_a_message_that_is_wrong_poison_has_no_values(world: World, spec: object, source: str | None) -> None:
    world.queues.send(naming.SETTLED_DROPS, {**OLD, "spec": spec, "source": source})
    world.rest()
    assert len(poisoned(world)) == 1
    assert VALUE not in told(world)
    assert VALUE not in repr(world.failures)


def test_poison_of_an_older_release_is_replayed(world: World) -> None:
    digits(world)
    body = json.dumps(OLD)
    old = PoisonMessage(queue=naming.SETTLED_DROPS, message="m", body=body, reason="r", at=world.clock())
    world.blobs.replace(naming.RECEIPTS, naming.poison_blob(naming.SETTLED_DROPS, "m"), old.to_bytes())
    assert len(replay(world)["replayed"]) == 1
    assert VALUE not in told(world)
    world.rest()
    assert variables(world) == SPEC["environment_variables"]
    assert kept(world) == []


def test_replay_refuses_what_is_gone(world: World) -> None:
    ask(world)
    world.rest()
    world.blobs.delete(naming.SNAPSHOTS, kept(world)[0])
    answer = replay(world)
    (left,) = answer["left"]
    assert answer["replayed"] == []
    assert "Its job spec no longer exists" in left["reason"]
    assert "Send the event again" in left["reason"]
    assert (len(poisoned(world)), world.queues.messages) == (1, [])


def test_one_odd_answer_of_storage_does_not_make_it_answered(world: World) -> None:
    digits(world)
    ask(world)
    (message,) = world.queues.messages

    def lost() -> Blob:
        raise BlobNotFound("There is none, it says.")

    odd = host(world, blobs=lambda port: Meanwhile(port, "read", lost, about=".requests/"))
    odd.on_settled(message.body, message=message.id)
    world.rest()
    assert variables(world) == SPEC["environment_variables"]


@pytest.mark.parametrize("data", [b"{", b"[]"])
def test_what_cannot_be_read_fails_and_stays(world: World, data: bytes) -> None:
    ask(world)
    (name,) = kept(world)
    world.blobs.replace(naming.SNAPSHOTS, name, data)
    (message,) = world.queues.messages
    with pytest.raises(KedjaError, match=r"is not a JSON object"):
        world.kedja.on_settled(message.body, message=message.id)
    assert kept(world) == [name]


@pytest.mark.parametrize("experiment", ["../digits", "a/b", "", "Digits"])
def test_a_message_leads_to_no_other_place(world: World, experiment: str) -> None:
    ask(world)
    (message,) = world.queues.messages
    body = json.dumps({**json.loads(message.body), "experiment": experiment}).encode()
    with pytest.raises(KedjaError, match=r"cannot be read: request\.experiment"):
        world.kedja.on_settled(body, message=message.id)


def test_what_failed_is_noted_on_the_latest_receipt(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.blobs.delete(naming.SCRIPTS, "digits/train.py")
    world.blobs.delete(naming.DATA, "digits/digits.npz")
    ask_as_before(world)
    world.rest()
    (note,) = world.receipt().attention
    assert "Nothing was dropped" in note


def test_nothing_is_on_the_queue_that_was_not_kept(world: World) -> None:
    def full() -> None:
        raise StorageUnavailable("storage: timed out")

    broken = host(world, blobs=lambda port: Meanwhile(port, "replace", full, about=".requests/"))
    with pytest.raises(StorageUnavailable):
        broken.event_ingest.ingest(EVENT, code=True)
    assert world.queues.messages == []
