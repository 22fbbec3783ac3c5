from http import HTTPStatus

import httpx
import pytest

from function_app.domain import naming
from function_app.errors import StorageUnavailable
from function_app.http.callers import Role
from function_app.http.idempotency import InvalidKey, parse_key
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import SCRIPT, World

KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
DIGITS = {"experiment_name": "digits"}


@pytest.fixture
def client(world: World) -> Client:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
    world.blobs.upload(naming.DATA, "digits/digits.npz", b"digits")
    return Client(api_over(lambda: world.kedja, LOCAL))


def kept(world: World) -> list[str]:
    return world.blobs.names_in(naming.RECEIPTS, ".idempotency/")


def force(client: Client, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a request that has a new effect each time."""
    return client.post("/api/jobs?force=true", json=DIGITS, headers=headers or {})


def test_without_a_key_it_is_done_twice(world: World, client: Client) -> None:
    first = force(client)
    world.run_job()

    assert force(client).json()["name"] != first.json()["name"]
    assert kept(world) == []


def test_with_one_it_is_done_once_and_answered_twice(world: World, client: Client) -> None:
    first = force(client, KEY)
    world.run_job()
    again = force(client, KEY)

    assert first.status_code == again.status_code == HTTPStatus.ACCEPTED
    assert (again.content, again.headers["location"]) == (first.content, first.headers["location"])
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["cache-control"] == "no-store"
    assert len(world.receipt().attempts) == 1


def test_with_another_request_it_is_refused(world: World, client: Client) -> None:
    force(client, KEY)
    for answer in (
        client.post("/api/jobs?force=true", json={**DIGITS, "kedja": {"arguments": {"epochs": 2}}}, headers=KEY),
        client.post("/api/jobs", json=DIGITS, headers=KEY),
    ):
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert answer.json()["type"] == "urn:kedja:problem:idempotency-key-reused"
    assert len(world.receipt().attempts) == 1


def test_while_it_is_worked_on_another_has_to_wait(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[httpx.Response] = []
    submit = MemoryTraining.submit

    def meet(training: MemoryTraining, request: object) -> object:
        met.append(force(client, KEY))
        return submit(training, request)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(MemoryTraining, "submit", meet)
    assert force(client, KEY).status_code == HTTPStatus.ACCEPTED

    (other,) = met
    assert other.status_code == HTTPStatus.CONFLICT
    assert other.json()["type"] == "urn:kedja:problem:in-progress"
    assert int(other.headers["retry-after"]) > 0


@pytest.mark.parametrize(("seconds", "goes_on"), [(500, False), (541, True)])
def test_what_was_killed_may_be_sent_again(world: World, client: Client, seconds: float, *, goes_on: bool) -> None:
    force(client, KEY)
    (name,) = kept(world)
    mark = world.blobs.read(naming.RECEIPTS, name).data.replace(b'"done"', b'"in-progress"')
    world.blobs.replace(naming.RECEIPTS, name, mark)
    world.run_job()
    world.clock.now = world.receipt().received_at
    world.clock.advance(seconds)

    assert force(client, KEY).status_code == (HTTPStatus.ACCEPTED if goes_on else HTTPStatus.CONFLICT)


def test_after_a_problem_the_same_key_may_be_sent_again(world: World, client: Client) -> None:
    world.training.unavailable = True
    wrong = client.post("/api/jobs/digits-0123456789abcdef-1/cancel", headers=KEY)
    assert wrong.status_code == HTTPStatus.NOT_FOUND
    assert kept(world) == []
    world.training.unavailable = False

    assert force(client, KEY).status_code == HTTPStatus.ACCEPTED


def test_after_a_failure_too(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as broken:
        broken.setattr(type(world.kedja.job_commands), "submit", fail)
        assert force(client, KEY).status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert kept(world) == []
    assert force(client, KEY).status_code == HTTPStatus.ACCEPTED


def test_a_key_is_its_senders_own(world: World, client: Client) -> None:
    force(client, KEY)
    world.run_job()
    other = limited(world, Role.CODE)

    assert force(other, KEY).json()["name"].endswith("-2")


def test_a_key_is_remembered_for_a_day(world: World, client: Client) -> None:
    force(client, KEY)
    world.run_job()
    world.clock.advance(86_400)

    assert force(client, KEY).json()["name"].endswith("-2")


def test_somebody_unknown_is_told_so_and_nothing_is_kept(world: World, client: Client) -> None:
    unknown = Client(limited(world, Role.DATA).app)

    assert force(unknown, KEY).status_code == HTTPStatus.UNAUTHORIZED
    assert kept(world) == []


def test_links_are_secrets_that_are_kept_nowhere(world: World, client: Client) -> None:
    files = {"files": [{"container": "data", "name": "new.png"}]}
    first = client.post("/api/experiments/digits/uploads", json=files, headers=KEY)
    world.clock.advance(60)
    again = client.post("/api/experiments/digits/uploads", json=files, headers=KEY)

    assert first.status_code == again.status_code == HTTPStatus.OK
    assert first.json()["items"][0]["url"] != again.json()["items"][0]["url"]
    assert b"url" not in world.blobs.read(naming.RECEIPTS, kept(world)[0]).data
    other = client.post("/api/experiments/other/uploads", json=files, headers=KEY)
    assert other.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_where_storage_is_down_nothing_is_done(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageUnavailable("down")

    monkeypatch.setattr(type(world.blobs), "create", fail)

    assert force(client, KEY).status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert world.training.jobs == {}


@pytest.mark.parametrize("value", ["", '""', "a b", '"ä"', "x" * 256, '"a', 'a"'])
def test_what_is_no_key_is_refused(client: Client, value: str) -> None:
    with pytest.raises(InvalidKey):
        parse_key(value)
    answer = client.post("/api/jobs", json=DIGITS, headers={"Idempotency-Key": value.encode()})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["type"] == "urn:kedja:problem:invalid-request"


@pytest.mark.parametrize("value", ["abc", '"abc"', "  abc "])
def test_quotes_make_no_difference(value: str) -> None:
    assert parse_key(value) == "abc"


def test_every_post_is_described_with_it(client: Client) -> None:
    for path in client.get_json("/api/openapi.json")["paths"].values():
        for method, operation in path.items():
            named = [one["name"] for one in operation.get("parameters", ())]
            assert ("Idempotency-Key" in named) is (method == "post")
            assert method != "post" or "409" in operation["responses"]
