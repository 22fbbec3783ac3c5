import json
from http import HTTPStatus
from typing import Any

import pytest

from function_app.container import assemble
from function_app.domain import naming
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World, blob_created, run_status_changed

LETTER = "KEDJA-BLOBS/2026/3/1/12/0b5e.json"


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def dead(world: World, *events: dict[str, Any], name: str = LETTER) -> str:
    """Add a dead-lettered blob of events, as Event Grid does; return its id."""
    letters = [
        {**event, "deadLetterReason": "MaxDeliveryAttemptsExceeded", "lastDeliveryOutcome": "NotFound"}
        for event in events
    ]
    world.blobs.upload(naming.DEAD_LETTER, name, json.dumps(letters).encode())
    return f"dead-letter/{name}"


def poison(world: World, body: bytes = b'{"kind": "look", "job": "nobody"}', queue: str = naming.RUN_EVENTS) -> str:
    """Have a message fail ten times; return its id."""
    before = set(world.blobs.names_in(naming.RECEIPTS, ".poison/"))
    world.queues.put(queue, body)
    world.rest()
    (name,) = set(world.blobs.names_in(naming.RECEIPTS, ".poison/")) - before
    return f"poison/{name.removeprefix('.poison/')}"


def replay(client: Client, *ids: str) -> Any:  # noqa: ANN401 - JSON
    answer = client.post("/api/replay", json={"ids": list(ids)} if ids else {"all": True})
    assert answer.status_code == HTTPStatus.OK, answer.text
    return answer.json()


def test_there_is_nothing_at_first(client: Client) -> None:
    assert client.get_json("/api/replay") == {"items": [], "next": None}
    assert replay(client) == {"replayed": [], "left": []}


def test_a_message_whose_cause_is_mended_goes_through(world: World, client: Client) -> None:
    world.queues.put(naming.RUN_EVENTS, b'{"kind": "look", "job": 1}')
    world.rest()
    (item,) = client.get_json("/api/replay")["items"]
    assert (item["kind"], item["queue"]) == ("poison", naming.RUN_EVENTS)
    assert "Input should be a valid string" in item["reason"]
    assert replay(client, item["id"]) == {"replayed": [item["id"]], "left": []}

    assert [message.queue for message in world.queues.messages] == [naming.RUN_EVENTS]
    assert client.get_json("/api/replay")["items"] == []


def test_a_lost_upload_becomes_a_job(world: World, client: Client) -> None:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
    world.blobs.upload(naming.DATA, "digits/digits.npz", b"digits")
    letter = dead(world, blob_created("data/digits/digits.npz"))
    (item,) = client.get_json("/api/replay")["items"]
    assert item == {
        "id": letter,
        "kind": "dead-letter",
        "queue": naming.BLOB_EVENTS,
        "reason": "MaxDeliveryAttemptsExceeded, NotFound",
        "at": item["at"],
    }
    assert replay(client)["replayed"] == [letter]
    world.rest()

    assert world.receipt().status == "submitted"
    assert world.blobs.names_in(naming.DEAD_LETTER) == [LETTER]  # it belongs to Event Grid
    assert client.get_json("/api/replay")["items"] == []


def test_a_second_replay_does_nothing(world: World, client: Client) -> None:
    ids = [dead(world, run_status_changed("digits-1", "Failed")), poison(world, b'{"kind": "look", "job": 1}')]
    assert sorted(replay(client, *ids)["replayed"]) == sorted(ids)
    messages = list(world.queues.messages)
    assert len(messages) == 2

    again = replay(client, *ids)
    assert again["replayed"] == []
    assert {one["id"] for one in again["left"]} == set(ids)
    assert "already replayed" in again["left"][0]["reason"]
    assert world.queues.messages == messages


@pytest.mark.parametrize("operation", ["send", "delete", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_in_between_nothing_is_lost(world: World, client: Client, operation: str, *, after: bool) -> None:
    """A message is on its queue or still in its old place, at any time."""
    ids = [dead(world, run_status_changed("digits-1", "Failed")), poison(world, b'{"kind": "look", "job": 1}')]

    def die() -> None:
        raise ZeroDivisionError("killed")

    port = Meanwhile(world.queues if operation == "send" else world.blobs, operation, die, after=after)
    kedja = world.kedja
    broken = (
        host(world, blobs=lambda _: port)
        if operation != "send"
        else assemble(
            kedja.settings,
            blobs=world.blobs,
            queues=port,
            training=world.training,
            publisher=world.publisher,
            account_url="https://kedja.blob.core.windows.net",
            clock=world.clock,
        )
    )
    assert Client(api_over(lambda: broken, LOCAL)).post("/api/replay", json={"ids": ids}).is_server_error

    waiting = {item["id"] for item in client.get_json("/api/replay")["items"]}
    assert len(waiting) + len(world.queues.messages) >= 2
    replay(client)
    assert len(world.queues.messages) in (2, 3)
    assert client.get_json("/api/replay")["items"] == []


@pytest.mark.parametrize("body", [b"no json", b"[1]"])
def test_what_nothing_understands_is_left_and_stays(world: World, client: Client, body: bytes) -> None:
    one = poison(world, body)
    (left,) = replay(client)["left"]

    assert left["id"] == one
    assert left["reason"]
    assert [item["id"] for item in client.get_json("/api/replay")["items"]] == [one]


@pytest.mark.parametrize("content", [b"no json", b"[]", b'[{"eventType": "com.example.else"}]', b"[1]", b'[{"x": 1}]'])
def test_a_letter_of_no_known_kind_is_left_and_stays(world: World, client: Client, content: bytes) -> None:
    world.blobs.upload(naming.DEAD_LETTER, LETTER, content)
    (left,) = replay(client)["left"]

    assert left["id"] == f"dead-letter/{LETTER}"
    assert world.queues.messages == []
    assert len(client.get_json("/api/replay")["items"]) == 1


@pytest.mark.parametrize(
    "one",
    [
        "poison/run-events/none.json",
        "dead-letter/none.json",
        "x",
        "poison/../.keys/0.json",
        "dead-letter/../data/x",
        "poison/",
    ],
)
def test_what_is_not_there_is_left(world: World, client: Client, one: str) -> None:
    before = dict(world.blobs.stored)

    assert [left["id"] for left in replay(client, one)["left"]] == [one]
    assert dict(world.blobs.stored) == before


def test_many_are_listed_in_pages_and_replayed_in_turns(world: World, client: Client) -> None:
    ids = sorted(
        dead(world, run_status_changed(f"digits-{number}", "Failed"), name=f"{number:03}.json") for number in range(150)
    )
    dead(world, {"eventType": "com.example.else"}, name="000-unknown.json")
    seen: list[str] = []
    after = ""
    while True:
        page = client.get_json(f"/api/replay?limit=40{after}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(set(seen)) == seen
    assert set(seen) == {*ids, "dead-letter/000-unknown.json"}

    first, second = replay(client), replay(client)
    assert (len(first["replayed"]), len(second["replayed"])) == (100, 50)
    assert [one["id"] for one in second["left"]] == ["dead-letter/000-unknown.json"]


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"all": False}, {"ids": ["x"], "all": True}, {"ids": ["x"] * 101}])
def test_a_request_says_what(client: Client, body: dict[str, Any]) -> None:
    assert client.post("/api/replay", json=body).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_place_that_is_none_is_refused(client: Client) -> None:
    assert client.get("/api/replay?after=ö").status_code == HTTPStatus.UNPROCESSABLE_ENTITY
