import json
import random

import pytest

from function_app.domain import naming
from function_app.domain.messages import SettleMessage
from function_app.domain.receipt import Status
from function_app.drops.intake import PendingSettle
from tests.unit.memory import Call
from tests.unit.simulation import ACCOUNT_URL, World, blob_created, encoded


def receive(world: World, path: str, *, message: str = "m", delivery: int = 1, **event: object) -> None:
    body = encoded(blob_created(path) | event)
    world.kedja.on_blob_event(body, message=message, delivery=delivery)


def settles(world: World) -> list[SettleMessage]:
    return [SettleMessage.model_validate_json(message.body) for message in world.queues.of(naming.SETTLED_DROPS)]


def test_an_event_schedules_a_look_after_the_quiet_period(world: World) -> None:
    receive(world, "data/digits/train/a.png")
    (message,) = world.queues.messages
    request = SettleMessage.model_validate_json(message.body)
    assert (request.experiment, request.folder) == ("digits", "digits")
    assert request.since == world.blobs.now
    assert (message.visible - world.clock()).total_seconds() == 10
    assert world.markers() == [".settling/digits"]


@pytest.mark.parametrize("folder", ["målning", "a#b", "50%", "what?", "a+b", "a & b", "100%25", "数字", "a;b=c,d"])
def test_a_folder_of_any_name_is_found(world: World, folder: str) -> None:
    world.drop(f"scripts/{folder}/train.py")
    world.drop(f"data/{folder}/a.npz")
    world.rest()
    receipt = world.receipt(folder)
    assert (receipt.folder, receipt.status) == (folder, Status.SUBMITTED)
    assert (receipt.received.scripts, receipt.received.data) == (1, 1)
    world.run_job()
    assert world.receipt(folder).status is Status.REGISTERED
    assert world.failures == []


def test_one_event_costs_one_conditional_write(world: World) -> None:
    paths = [f"data/digits/{number}.png" for number in range(300)]
    events = [path for path in paths for _ in range(3)]
    random.Random(1).shuffle(events)  # noqa: S311 - repeatable on purpose
    for number, path in enumerate(events):
        receive(world, path, message=f"m{number}")
    assert world.blobs.calls == [Call(operation="create", container="receipts", name=".settling/digits")] * 900
    assert len(settles(world)) == 1


def test_later_events_find_the_marker(world: World) -> None:
    receive(world, "data/digits/a", message="one")
    receive(world, "scripts/digits/train.py", message="another")
    assert len(settles(world)) == 1


def test_killed_after_the_marker_the_same_message_goes_on(world: World) -> None:
    receive(world, "data/digits/a", message="one")
    world.queues.messages.clear()
    receive(world, "data/digits/a", message="another", delivery=2)
    assert settles(world) == []
    receive(world, "data/digits/a", message="one", delivery=2)
    assert len(settles(world)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "snapshots/digits/a",
        "models/digits/1/model.npz",
        "receipts/digits/latest.json",
        "dead-letter/a/b",
        "azureml/digits/a",
        "database/digits/a",
        "data/digits/.hidden",
        "data/.hidden/a",
        "data/digits/.git/config",
        "data/digits/a.tmp",
        "data/digits/a.part",
        "data/digits/a~",
        "data/digits/~lock",
        "scripts/digits/__pycache__/train.cpython-313.pyc",
        "data/digits/",
        "data/",
    ],
)
def test_what_no_one_means_to_drop_is_left_alone(world: World, path: str) -> None:
    receive(world, path)
    assert (world.queues.messages, world.blobs.calls) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "https://other.blob.core.windows.net",
        f"{ACCOUNT_URL}.evil.example",
        "http://kedja.blob.core.windows.net",
        "https://evil.example/https://kedja.blob.core.windows.net",
    ],
)
def test_another_accounts_event_is_refused_and_logged(world: World, url: str, caplog: pytest.LogCaptureFixture) -> None:
    world.kedja.on_blob_event(encoded(blob_created("data/digits/a", account_url=url)), message="m", delivery=1)
    assert world.queues.messages == []
    assert "another storage account" in caplog.text


def test_a_file_that_is_created_first_and_filled_later_counts_when_it_is_filled(world: World) -> None:
    created = blob_created("data/digits/a", api="CreateFile", size=0)
    flushed = blob_created("data/digits/a", api="FlushWithClose")
    world.kedja.on_blob_event(encoded(created), message="m1", delivery=1)
    assert world.queues.messages == []
    world.kedja.on_blob_event(encoded(flushed), message="m2", delivery=1)
    assert len(settles(world)) == 1


def test_an_array_of_events_is_one_message(world: World) -> None:
    body = encoded([blob_created("data/one/a"), blob_created("data/two/a"), {"id": "1", "type": "Other.Kind"}])
    world.kedja.on_blob_event(body, message="m", delivery=1)
    assert world.markers() == [".settling/one", ".settling/two"]
    assert len(settles(world)) == 2


def test_files_outside_of_any_folder_each_have_their_own_marker(world: World) -> None:
    receive(world, "data/a.npz")
    receive(world, "data/b.npz")
    receive(world, "data/b.npz")
    assert [request.folder for request in settles(world)] == ["a.npz", "b.npz"]
    assert {request.experiment for request in settles(world)} == {"_root"}


class TestPostpone:
    def test_puts_the_marker_back(self, world: World) -> None:
        request = SettleMessage(experiment="digits", folder="digits", trigger="t", since=world.clock())
        world.kedja.intake.postpone(request, message="m", delay=5)
        assert world.markers() == [".settling/digits"]
        assert settles(world) == [request]

    def test_tells_a_look_that_is_scheduled_already_since_when_files_come(self, world: World) -> None:
        since = world.clock()
        world.clock.advance(100)
        receive(world, "data/digits/a")
        request = SettleMessage(experiment="digits", folder="digits", trigger="t", since=since)
        world.kedja.intake.postpone(request, message="m", delay=5)
        (scheduled,) = settles(world)
        assert world.kedja.intake.consume_marker(scheduled).since == since
        assert world.markers() == []

    def test_a_marker_says_when_it_is_due(self, world: World) -> None:
        receive(world, "data/digits/a", message="one")
        marker = PendingSettle.from_bytes(world.blobs.read(naming.RECEIPTS, ".settling/digits").data)
        assert (marker.message, marker.delay) == ("one/0", 10)
        assert json.loads(marker.to_bytes())["request"]["folder"] == "digits"
