import json

import pytest

from function_app.azure.connections import NullPublisher
from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import InvalidEvent
from tests.unit.simulation import World, blob_created, encoded, run_status_changed


class TestAdmit:
    def test_puts_an_event_on_the_queue_of_its_kind(self, world: World) -> None:
        blob, run = blob_created("data/digits/a.npz"), run_status_changed("digits-1", "Completed")
        assert world.kedja.event_ingest.ingest(blob) is True
        assert world.kedja.event_ingest.ingest(run) is True
        assert [(message.queue, json.loads(message.body)["id"]) for message in world.queues.messages] == [
            (naming.BLOB_EVENTS, blob["id"]),
            (naming.RUN_EVENTS, run["id"]),
        ]

    def test_leaves_other_kinds_alone(self, world: World) -> None:
        assert world.kedja.event_ingest.ingest({"id": "1", "type": "Somebody.Else"}) is False
        assert world.queues.messages == []

    def test_refuses_what_cannot_be_understood(self, world: World) -> None:
        with pytest.raises(InvalidEvent):
            world.kedja.event_ingest.ingest({**blob_created("data/digits/a.npz"), "data": {}})


def test_runs_events_come_in_arrays_too(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.tells_of_runs = False
    name = world.live_jobs()[0].name
    world.training.finish(name)
    body = encoded([run_status_changed("nobody's", "Running"), run_status_changed(name, "Completed")])
    world.kedja.on_run_event(body)
    assert world.receipt().status is Status.REGISTERED


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1"])
def test_a_message_of_settled_drops_is_an_object(world: World, body: bytes) -> None:
    with pytest.raises(InvalidEvent, match="JSON object"):
        world.kedja.on_settled(body, message="m")


def test_without_a_topic_nothing_is_published() -> None:
    NullPublisher().publish([])
