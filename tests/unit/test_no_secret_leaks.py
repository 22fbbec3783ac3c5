"""Secrets are planted in every setting and input, the service is put through its paces, and nothing tells them."""

import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.core.pipeline.transport import RequestsTransport
from pytest_mock import MockerFixture

from function_app.azure.connections import publisher
from function_app.azure.storage import StorageAccount
from function_app.container import connect
from function_app.domain import naming
from function_app.domain.cloud_events import EventType, OutgoingEvent, PublishingFailed
from function_app.domain.receipt import Status
from function_app.errors import InvalidSettings, KedjaError
from function_app.http.api import create_api
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import parse_job_json, parse_job_yaml
from function_app.settings import Settings
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World, blob_created

CANARY = "Q2FuYXJ5LXRoYXQtbm9ib2R5LXNlZXM"
"""The secret, as it stands in each of the places below."""
ACCOUNT_KEY = "UTJGdVlYSjVMWFJvWVhRdGJtOWliMlI1TFhObFpYTQ=="
CONNECTION = (
    f"DefaultEndpointsProtocol=https;AccountName=kedja;AccountKey={ACCOUNT_KEY};EndpointSuffix=core.windows.net"
)
SAS = f"https://kedja.blob.core.windows.net/data/x?sv=2024-11-04&sp=r&sig={CANARY}"
SETTINGS = {
    "KedjaStorage": CONNECTION,
    "KEDJA_EVENT_GRID_ENDPOINT": "https://kedja.example.com/api/events",
    "KEDJA_EVENT_GRID_KEY": CANARY,
    "KEDJA_TRAINING_SERVICE": "tests.unit.test_no_secret_leaks:no_training",
}
API_KEY = f"kedja_0123456789ab_{CANARY}{'x' * (43 - len(CANARY))}"
JOB = {"environment_variables": {"PASSWORD": CANARY, "CONNECTION": CONNECTION, "SAS": SAS, "TOKEN": f"Bearer {CANARY}"}}


def no_training(_environ: object) -> None:
    """Connect to no training service: none is asked here."""


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Hear every line of every log, and find no secret in them in the end."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    silent(caplog.text)


def silent(*texts: object) -> None:
    for text in map(str, texts):
        assert CANARY not in text
        assert ACCOUNT_KEY not in text


def all_that_is_told(world: World) -> str:
    """Return receipts, working state, events and messages, as far as there are any."""
    kept = [(name, stored.data) for (where, name), stored in world.blobs.stored.items() if where == naming.RECEIPTS]
    metadata = [stored.item.metadata for (where, _), stored in world.blobs.stored.items() if where == naming.RECEIPTS]
    messages = [message.body for message in world.queues.messages]
    return repr((kept, metadata, world.publisher.published, messages, world.failures))


# Settings.


def test_settings_show_no_secrets() -> None:
    silent(repr(Settings.read(SETTINGS)))
    for name in ("KEDJA_QUIET_PERIOD", "KEDJA_TRAINING_SERVICE"):
        with pytest.raises(InvalidSettings) as caught:
            connect({**SETTINGS, name: "wrong"})
        silent(repr(caught.value))
    with pytest.raises(InvalidSettings) as caught:
        create_api(lambda: pytest.fail("never"), {**SETTINGS, "KEDJA_AUTH": "local"})
    silent(repr(caught.value))


def test_the_connected_service_shows_none() -> None:
    silent(repr(connect(SETTINGS)))


STORAGE_FAILURES = [
    ServiceRequestError("Connection refused"),
    ClientAuthenticationError("Server failed to authenticate the request."),
    HttpResponseError("The server is busy."),
]


@pytest.mark.parametrize("failure", STORAGE_FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize(
    "connection",
    [CONNECTION, f"BlobEndpoint=https://a.test/;QueueEndpoint=https://b.test/;SharedAccessSignature=sv=1&sig={CANARY}"],
    ids=["key", "SAS"],
)
def test_storage_that_fails_tells_none(mocker: MockerFixture, connection: str, failure: Exception) -> None:
    mocker.patch.object(RequestsTransport, "send", autospec=True, side_effect=failure)
    mocker.patch("time.sleep")
    account = StorageAccount.connect({"KedjaStorage": connection}, None, prefix="KedjaStorage")
    silent(repr(account))
    for ask in (
        lambda: account.blobs.read("data", "x"),
        lambda: account.blobs.list("data", "x"),
        lambda: account.blobs.create("data", "x", b"x"),
        lambda: account.blobs.copy(("data", "x"), ("data", "y"), etag="0x1"),
        lambda: account.queues.send("q", {"a": 1}),
    ):
        with pytest.raises(KedjaError) as caught:
            ask()
        silent(repr(caught.value))


@pytest.mark.parametrize("failure", STORAGE_FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_topic_that_fails_tells_none(mocker: MockerFixture, failure: Exception) -> None:
    mocker.patch.object(RequestsTransport, "send", autospec=True, side_effect=failure)
    mocker.patch("time.sleep")
    topic = publisher(Settings.read(SETTINGS), None, "https://kedja.blob.core.windows.net")
    silent(repr(topic))
    now = World.make().clock()
    event = OutgoingEvent(id="1", type=EventType.JOB_FAILED, source="/r", subject="s", time=now, data={})
    with pytest.raises(PublishingFailed) as caught:
        topic.publish([event])
    silent(repr(caught.value))


# Drops.


@pytest.mark.parametrize("ending", ["registered", "failed", "refused", "unavailable", "sweep", "unpublished"])
def test_a_drop_tells_none_of_its_jobs_variables(world: World, ending: str) -> None:
    job: dict[str, Any] = JOB
    if ending == "sweep":
        job = {
            "type": "sweep",
            "trial": JOB,
            "search_space": {"lr": {"type": "choice", "values": [1, 2]}},
            "objective": {"goal": "maximize", "primary_metric": "accuracy"},
            "limits": {"max_total_trials": 2},
        }
    world.drop("scripts/digits/job.yaml", json.dumps(job).encode())
    world.drop_digits()
    world.publisher.refuses = ending == "unpublished"
    world.training.refusal = "The quota is used up." if ending == "refused" else None
    world.training.unavailable = ending == "unavailable"
    if ending == "unavailable":
        world.go_on(600)
    else:
        world.rest()
    if ending in ("registered", "failed", "sweep"):
        assert CANARY in json.dumps(next(iter(world.training.requests.values())).document)
        world.run_job(exit_code=int(ending == "failed"))
    world.reconcile()
    silent(all_that_is_told(world))
    client = Client(
        api_over(lambda: world.kedja, {**SETTINGS, "KEDJA_AUTH": "local", "KedjaStorage": "UseDevelopmentStorage=true"})
    )
    for path in (f"/api/drops/digits/{world.receipt().drop}", "/api/drops", "/api/jobs", "/api/health?deep=true"):
        silent(client.get(path).text)
    if job is JOB:
        silent(client.post("/api/jobs?dry_run=true", json={"experiment_name": "digits"}).text)


REQUESTED = {"experiment_name": "digits", **JOB}


def messages_of_requests(world: World) -> None:
    """Have a job asked for by an event, and by a message that an older release left on the queue."""
    client = Client(api_over(lambda: world.kedja, LOCAL))
    event = {"specversion": "1.0", "id": "1", "source": "/lab", "type": "Kedja.TrainingRequested", "data": REQUESTED}
    assert client.post("/api/events", json=event).json()["accepted"] == 1
    silent(all_that_is_told(world))
    old = {"kind": "request", "source": "/lab", "code": True, "spec": REQUESTED}
    world.queues.send(naming.SETTLED_DROPS, old)


@pytest.mark.parametrize("ending", ["answered", "put off", "poison", "replayed"])
def test_a_request_by_an_event_tells_none(world: World, ending: str) -> None:
    messages_of_requests(world)
    if ending in ("answered", "put off"):
        world.drop_digits()
    world.training.unavailable = ending == "put off"
    world.go_on(1200)
    poison = world.blobs.names_in(naming.RECEIPTS, ".poison/")
    assert len(poison) == (2 if ending in ("poison", "replayed") else 0)
    silent(all_that_is_told(world))
    if ending == "replayed":
        client = Client(api_over(lambda: world.kedja, LOCAL))
        silent(client.get("/api/replay").text)
        silent(client.post("/api/replay", json={"all": True}).text)
        assert len(world.queues.messages) == 2
        silent(all_that_is_told(world))
        world.drop_digits()
        world.rest()
    if ending in ("answered", "replayed"):
        assert CANARY in json.dumps(next(iter(world.training.requests.values())).document)
    silent(all_that_is_told(world))


WRONG = [
    f"environment_variables: {CANARY}",
    f"environment_variables: [{CANARY}]",
    f"environment_variables: {{A: [{CANARY}]}}",
    f"environment_variables: {{A: {{b: {CANARY}}}}}",
    f"environment_variables: {{A: *{CANARY}}}",
    f"environment_variables: {{A: &{CANARY} x}}",
    f"environment_variables: {{A: !{CANARY} x}}",
    f"environment_variables: {{A: '{CANARY}}}",
    f"environment_variables:\n  A: {CANARY}\n B: x",
    f'environment_variables: {{A: "{CANARY}\\0"}}',
    f"environment_variables: {{A: {CANARY * 1100}}}",
    f"environment_variables: {{A: {CANARY}, A: {CANARY}}}",
    f"trial: {{environment_variables: {CANARY}}}",
    f"code: https://x.test/a?sig={CANARY}",
    f"code: https://user:{CANARY}@x.test/a",
    f"compute: AccountKey={CANARY}",
    f"inputs: {{a: 'Password={CANARY};x'}}",
    f"environment: {{image: 'https://u:{CANARY}@x.test/y'}}",
    f"environment: {{image: x/y, conda_file: {{dependencies: [{{pip: ['--index-url https://u:{CANARY}@x.test/s']}}]}}}}",
    f"environment: {{image: x/y, conda_file: {{dependencies: [{{pip: ['a @ http://x.test/s?token={CANARY}']}}]}}}}",
    f"environment: {{image: x/y, conda_file: {{channels: ['http://x.test/t?{CANARY}'], dependencies: [a]}}}}",
    f"environment: {{image: x/y, conda_file: {{channels: ['https://{CANARY}@x.test/'], dependencies: [a]}}}}",
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_wrong_job_yaml_is_refused_without_them(world: World, text: str) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_yaml(text)
    silent(str(caught.value))
    world.drop("scripts/digits/job.yaml", text.encode())
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.REJECTED
    silent(all_that_is_told(world))


@pytest.mark.parametrize("value", [CANARY, [CANARY], {"A": [CANARY]}, {"A": f"{CANARY}\0"}, {"A": {"b": CANARY}}])
def test_a_wrong_request_is_refused_without_them(world: World, value: object) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json({"environment_variables": value})
    silent(str(caught.value))
    client = Client(api_over(lambda: world.kedja, LOCAL))
    answer = client.post("/api/jobs", json={"experiment_name": "digits", "environment_variables": value})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    silent(answer.text)


# Callers.


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/jobs", {"X-Kedja-Key": API_KEY}),
        ("/api/jobs", {"Authorization": f"Bearer {API_KEY}"}),
        ("/api/jobs", {"Authorization": f"Bearer {CANARY}"}),
        ("/api/jobs", {"Authorization": f"Basic {CANARY}"}),
        (f"/api/jobs?key={API_KEY}", {}),
        (f"/api/events?key={API_KEY}", {}),
        (f"/api/jobs?limit={CANARY}", {"X-Kedja-Key": API_KEY}),
        ("/api/jobs", {"X-MS-CLIENT-PRINCIPAL-ID": "x", "X-MS-CLIENT-PRINCIPAL": CANARY, "Cookie": f"s={CANARY}"}),
        (f"/api/nothing?key={API_KEY}", {"X-Kedja-Key": API_KEY}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_callers_show_is_told_nowhere(world: World, method: str, path: str, headers: dict[str, str]) -> None:
    client = Client(api_over(lambda: world.kedja, {**SETTINGS, "KEDJA_AUTH": "keys"}), headers)
    answer = client.request(method, path, json={})
    assert answer.status_code >= HTTPStatus.BAD_REQUEST
    silent(answer.text, answer.headers, all_that_is_told(world))


def test_a_failure_of_its_own_tells_none(world: World, mocker: MockerFixture) -> None:
    mocker.patch.object(type(world.kedja.job_commands), "submit", side_effect=ZeroDivisionError("by zero"))
    client = Client(api_over(lambda: world.kedja, LOCAL))
    answer = client.post(
        f"/api/jobs?x={CANARY}", json={"experiment_name": "digits", **JOB}, headers={"X-Kedja-Key": API_KEY}
    )
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    silent(answer.text)


@pytest.mark.parametrize("account", ["https://kedja.blob.core.windows.net", "https://foreign.blob.core.windows.net"])
def test_an_event_whose_address_is_signed_tells_none(world: World, account: str) -> None:
    event = blob_created("data/digits/a.npz", account_url=account)
    event["data"]["url"] += f"?sv=2024-11-04&sig={CANARY}"
    world.queues.send(naming.BLOB_EVENTS, event)
    world.rest()
    silent(all_that_is_told(world))


def test_what_is_planted_would_be_found() -> None:
    with pytest.raises(AssertionError):
        silent({"a": SAS})
