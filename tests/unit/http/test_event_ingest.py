import base64
import json
from http import HTTPStatus
from typing import Any, ClassVar

import httpx
import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.errors import StorageUnavailable
from function_app.http.callers import Role
from function_app.jobspec.schema import JobSpec
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.memory import LARGEST_MESSAGE, MemoryQueues
from tests.unit.simulation import World, blob_created, encoded, run_status_changed

Body = bytes | list[dict[str, Any]] | dict[str, Any]

ALL = {"received": 1, "accepted": 1, "ignored": 0}
CLOUD = {
    "specversion": "1.0",
    "id": "1",
    "source": "/storage",
    "type": "Microsoft.Storage.BlobCreated",
    "datacontenttype": "application/json",
    "data": blob_created("data/digits/a.npz")["data"],
}
STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json"


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def post(client: Client, events: Body, content_type: str = "application/json", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = events if isinstance(events, bytes) else encoded(events)
    return client.post("/api/events", content=body, headers={"content-type": content_type, **named})


def sent(world: World, queue: str = naming.BLOB_EVENTS) -> list[Any]:
    return [json.loads(message.body) for message in world.queues.of(queue)]


def test_a_dropped_file_becomes_a_job(world: World, client: Client) -> None:
    for path in ("scripts/digits/train.py", "data/digits/a.npz"):
        container, _, name = path.partition("/")
        world.blobs.upload(container, name, b"x")

    assert post(client, [blob_created("data/digits/a.npz")]).json() == ALL
    world.rest()

    assert world.receipt().status == "submitted"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ([blob_created("data/digits/a.npz")], "application/json; charset=utf-8"),
        (blob_created("data/digits/a.npz"), "application/json"),
        (CLOUD, STRUCTURED),
        ([CLOUD], BATCH),
        (CLOUD, "application/json"),
        (
            {**CLOUD, "data": None, "data_base64": base64.b64encode(json.dumps(CLOUD["data"]).encode()).decode()},
            STRUCTURED,
        ),
    ],
)
def test_each_schema_is_read(world: World, client: Client, body: Body, content_type: str) -> None:
    assert post(client, body, content_type).json() == ALL
    assert sent(world)[0]["data"]["url"].endswith("/data/digits/a.npz")


def test_the_binary_mode_is_read(world: World, client: Client) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-source": "/x", "ce-type": CLOUD["type"]}

    answer = client.post("/api/events", json=CLOUD["data"], headers=headers)

    assert answer.json() == ALL
    assert sent(world)[0]["id"] == "a b"


def test_runs_go_to_their_own_queue(world: World, client: Client) -> None:
    assert post(client, [run_status_changed("digits-1", "Completed")]).json() == ALL
    assert sent(world, naming.RUN_EVENTS)[0]["data"] == {"runId": "digits-1"}


def test_a_batch_is_counted(world: World, client: Client) -> None:
    other = {**CLOUD, "type": "com.example.else", "data": "text"}

    answer = post(client, [CLOUD, other, CLOUD], BATCH)

    assert answer.json() == {"received": 3, "accepted": 2, "ignored": 1}
    assert len(sent(world)) == 2


def test_a_long_event_fits_on_a_queue(world: World, client: Client) -> None:
    event = run_status_changed("digits-1", "Completed")
    event["data"]["runProperties"] = {"text": "x" * 4 * LARGEST_MESSAGE}

    assert post(client, [event]).json() == ALL
    assert len(world.queues.of(naming.RUN_EVENTS)[0].body) < LARGEST_MESSAGE


def test_what_was_sent_on_means_the_same(world: World, client: Client) -> None:
    post(client, [blob_created("data/digits/a b%.npz", size=7, api="CopyBlob")])

    data = sent(world)[0]["data"]

    assert data == {
        "url": "https://kedja.blob.core.windows.net/data/digits/a%20b%25.npz",
        "contentLength": 7,
        "api": "CopyBlob",
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b'"text"', "application/json"),
        (b"[" * 20_000, "application/json"),
        ([CLOUD], STRUCTURED),
        (CLOUD, BATCH),
        ({**CLOUD, "specversion": "0.3"}, STRUCTURED),
        ({key: value for key, value in CLOUD.items() if key != "specversion"}, STRUCTURED),
        ({**CLOUD, "id": ""}, STRUCTURED),
        ({key: value for key, value in CLOUD.items() if key != "source"}, STRUCTURED),
        ({**CLOUD, "type": 3}, STRUCTURED),
        ({**CLOUD, "data_base64": "%"}, STRUCTURED),
        ({**CLOUD, "data": {}}, STRUCTURED),
        ([{"id": "1"}], "application/json"),
        ([{**blob_created("data/a/b"), "data": []}], "application/json"),
    ],
)
def test_what_is_no_event_is_refused(world: World, client: Client, body: Body, content_type: str) -> None:
    answer = post(client, body, content_type)

    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.json()["type"] == "urn:kedja:problem:invalid-event"
    assert not world.queues.messages


def test_one_bad_event_keeps_the_good_ones_out(world: World, client: Client) -> None:
    answer = post(client, [CLOUD, {**CLOUD, "data": {}}], BATCH)

    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert not world.queues.messages


def test_a_queue_that_is_down_makes_the_sender_come_again(client: Client, mocker: MockerFixture) -> None:
    mocker.patch.object(MemoryQueues, "send", side_effect=StorageUnavailable("send to the queue: timed out"))

    answer = post(client, [blob_created("data/digits/a.npz")])

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"]


def test_event_grids_handshake(client: Client) -> None:
    event = {
        "id": "1",
        "topic": "t",
        "subject": "",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d38b6", "validationUrl": "https://example.com"},
    }

    answer = post(client, [event], aeg_event_type="SubscriptionValidation")

    assert answer.status_code == HTTPStatus.OK
    assert answer.json()["validationResponse"] == "512d38b6"


def test_a_handshake_without_a_code_is_refused(client: Client) -> None:
    event = {"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {}}

    assert post(client, [event], aeg_event_type="SubscriptionValidation").status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(("kind", "status"), [("Notification", 200), ("SubscriptionDeletion", 200), ("Else", 400)])
def test_the_header_of_event_grid_says_what_it_is(client: Client, kind: str, status: int) -> None:
    assert post(client, [blob_created("data/digits/a.npz")], aeg_event_type=kind).status_code == status


def options(client: Client, **headers: str) -> httpx.Response:
    return client.request("OPTIONS", "/api/events", headers={n.replace("_", "-"): v for n, v in headers.items()})


def test_the_handshake_of_cloud_events_is_open_on_one_machine(client: Client) -> None:
    answer = options(client, WebHook_Request_Origin="eventgrid.azure.net", WebHook_Request_Rate="120")

    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert answer.headers["webhook-allowed-rate"] == "*"


def test_elsewhere_only_origins_on_the_list_are_let_in(world: World) -> None:
    keyed = limited(world, Role.DATA)
    settings = {"KEDJA_AUTH": "keys", "KEDJA_EVENT_ORIGINS": "eventgrid.azure.net, example.com"}
    listed = Client(api_over(lambda: world.kedja, settings), keyed.headers)

    assert options(listed, WebHook_Request_Origin="example.com").headers["webhook-allowed-origin"] == "example.com"
    refused = options(listed, WebHook_Request_Origin="evil.example.com")
    assert refused.status_code == HTTPStatus.FORBIDDEN
    assert "webhook-allowed-origin" not in refused.headers
    assert options(keyed, WebHook_Request_Origin="example.com").status_code == HTTPStatus.FORBIDDEN


def test_a_handshake_without_an_origin_is_refused(client: Client) -> None:
    assert options(client).status_code == HTTPStatus.BAD_REQUEST


def test_a_sender_is_not_limited_to_some_experiments(world: World) -> None:
    answer = limited(world, Role.CODE, "digits").post("/api/events", json=[blob_created("data/digits/a.npz")])

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert not world.queues.messages


def test_a_key_in_an_address_is_not_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    keyed = limited(world, Role.DATA)
    key = keyed.headers["X-Kedja-Key"]

    with caplog.at_level("DEBUG", logger="function_app"):
        for body in (b"[]", b"{"):
            Client(keyed.app).post(f"/api/events?key={key}", content=body)
        Client(keyed.app).post(f"/api/events?key={key}x", content=b"[]")

    assert key not in caplog.text


def digits(world: World) -> None:
    """Files for which no event arrives."""
    world.drop("scripts/digits/train.py", times=0)
    world.drop("data/digits/digits.npz", times=0)


def command(world: World) -> str:
    return str(world.training.requests[world.live_jobs()[0].name].document["command"])


class TestTrainingRequested:
    EVENT: ClassVar[dict[str, Any]] = {
        "specversion": "1.0",
        "id": "9",
        "source": "https://github.com/owner/repo",
        "type": "Kedja.TrainingRequested",
        "data": {"experiment_name": "digits", "kedja": {"arguments": {"epochs": 3}}},
    }

    def test_gets_a_job_once_however_often_it_comes(self, world: World, client: Client) -> None:
        digits(world)
        for _ in range(3):
            assert post(client, self.EVENT, STRUCTURED).json() == ALL
            world.rest()

        receipt = world.receipt()
        assert receipt.trigger == "event: https://github.com/owner/repo"
        assert (receipt.status, len(receipt.attempts), len(world.live_jobs())) == ("submitted", 1, 1)
        assert "--epochs 3" in command(world)

    def test_before_its_files_waits_for_them(self, world: World, client: Client) -> None:
        assert post(client, self.EVENT, STRUCTURED).json() == ALL
        world.go_on(1)
        assert world.failures
        digits(world)
        world.rest()
        assert world.receipt().status == "submitted"

    def test_waits_for_a_training_service_that_is_away(self, world: World, client: Client) -> None:
        digits(world)
        world.training.unavailable = True
        assert post(client, self.EVENT, STRUCTURED).json() == ALL
        world.go_on(1800)
        assert (world.failures, len(world.queues.messages)) == ([], 1)
        world.training.unavailable = False
        world.rest(patience=601)
        assert (world.failures, world.receipt().status) == ([], "submitted")

    def test_that_failed_is_noted_on_the_latest_receipt(self, world: World, client: Client) -> None:
        digits(world)
        assert post(client, self.EVENT, STRUCTURED).json() == ALL
        world.rest()
        for name in ("train.py", "digits.npz"):
            world.blobs.delete(naming.SCRIPTS if name == "train.py" else naming.DATA, f"digits/{name}")
        assert post(client, self.EVENT, STRUCTURED).json() == ALL
        world.rest()
        (note,) = world.receipt().attention
        assert "NotFound: Nothing was dropped for the experiment 'digits'" in note

    @pytest.mark.parametrize(
        ("data", "status", "said"),
        [
            ({"experiment_name": "digits", "kedja": {"entry_script": "evil.py"}}, 403, "role `code`"),
            ({"experiment_name": "digits", "kedja": {"data": "maybe"}}, 422, "kedja.data"),
            ({"experiment_name": "a/b"}, 422, "is a path"),
            ({"kedja": {}}, 400, "experiment_name is missing"),
            ({"experiment_name": "digits", "description": "x" * 40_000}, 400, "at most 32000"),
        ],
    )
    def test_is_refused_where_it_is_wrong(self, world: World, data: dict[str, Any], status: int, said: str) -> None:
        keyed = limited(world, Role.DATA)

        answer = post(keyed, {**self.EVENT, "data": data}, STRUCTURED)

        assert answer.status_code == status, answer.text
        assert said in answer.text
        assert world.queues.messages == []

    def events(self, count: int) -> list[dict[str, Any]]:
        return [{**self.EVENT, "id": str(number)} for number in range(count)]

    def test_each_is_validated_once(self, world: World, client: Client, mocker: MockerFixture) -> None:
        validated = mocker.spy(JobSpec, "model_validate")
        answer = post(client, self.events(20), BATCH)
        assert answer.json() == {"received": 20, "accepted": 20, "ignored": 0}
        assert validated.call_count == 20
        assert len(world.queues.messages) == 20

    def test_of_too_many_at_once_none_is_read(self, world: World, client: Client, mocker: MockerFixture) -> None:
        validated = mocker.spy(JobSpec, "model_validate")
        for count in (21, 5000):
            answer = post(client, [CLOUD, *self.events(count)], BATCH)
            assert answer.status_code == HTTPStatus.BAD_REQUEST
            assert (
                f"The body has {count} events of type Kedja.TrainingRequested, more than 20" in answer.json()["detail"]
            )
        assert validated.call_count == 0
        assert (world.queues.messages, world.blobs.names_in(naming.SNAPSHOTS)) == ([], [])

    def test_one_that_is_wrong_keeps_the_others_out(self, world: World, client: Client) -> None:
        wrong = {**self.EVENT, "data": {"experiment_name": "digits", "kedja": {"data": "maybe"}}}
        assert post(client, [*self.events(2), wrong], BATCH).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert (world.queues.messages, world.blobs.names_in(naming.SNAPSHOTS)) == ([], [])

    def test_may_decide_on_code_with_the_role_for_it(self, world: World, client: Client) -> None:
        digits(world)
        world.drop("scripts/digits/other.py", times=0)
        data = {"experiment_name": "digits", "kedja": {"entry_script": "other.py"}}
        assert post(client, {**self.EVENT, "data": data}, STRUCTURED).json() == ALL
        world.rest()
        assert "other.py" in command(world)
