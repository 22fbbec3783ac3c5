"""Every operation in the OpenAPI document, called by every kind of caller."""

import enum
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from attrs import frozen

from function_app.http.callers import Role
from tests.unit.api import API, KEYS, api_over, limited
from tests.unit.http_client import Client
from tests.unit.simulation import World

DIGEST = "0" * 64
STATUSES_OF_THE_DOOR = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Door(enum.Enum):
    """Who may call."""

    OPEN = enum.auto()
    """Anyone."""
    DATA = enum.auto()
    """The role data, for the experiments that the caller sees."""
    CODE = enum.auto()
    """The role code, for the experiments that the caller sees."""
    OVERSEER = enum.auto()
    """The role data, for every experiment."""
    OPERATOR = enum.auto()
    """The role code, for every experiment."""


class Others(enum.Enum):
    """The response to a caller who sees only other experiments."""

    ABSENT = enum.auto()
    """404, as if the thing did not exist."""
    LEFT_OUT = enum.auto()
    """A response without the thing."""
    SAME = enum.auto()
    """The same response as for everyone: it is not about an experiment."""


@frozen
class Entrance:
    """The expectations for an operation. `body` is a valid request body."""

    door: Door
    others: Others = Others.ABSENT
    body: Mapping[str, Any] | None = None
    query: str = ""


ENTRANCES: Mapping[str, Entrance] = {
    "allow_events": Entrance(Door.OVERSEER, Others.SAME),
    "approve": Entrance(Door.OPERATOR, Others.SAME, {"digest": DIGEST}),
    "cancel_job": Entrance(Door.DATA),
    "create_compute": Entrance(Door.OPERATOR, Others.SAME, {"size": "Standard_NC6s_v3", "max_nodes": 1}),
    "create_upload_links": Entrance(Door.DATA, body={"files": [{"container": "data", "name": "a.png"}]}),
    "delete_experiment": Entrance(Door.CODE, query="?dry_run=true"),
    "get_checks": Entrance(Door.DATA, Others.SAME),
    "get_drop": Entrance(Door.DATA),
    "get_health": Entrance(Door.OPEN, Others.SAME),
    "get_job": Entrance(Door.DATA),
    "get_job_log": Entrance(Door.DATA),
    "get_job_metrics": Entrance(Door.DATA),
    "get_model": Entrance(Door.DATA),
    "get_model_owner": Entrance(Door.DATA),
    "get_model_version": Entrance(Door.DATA),
    "get_pause": Entrance(Door.DATA, Others.SAME),
    "list_approvals": Entrance(Door.OPERATOR, Others.SAME),
    "list_compute": Entrance(Door.DATA, Others.SAME),
    "list_drops": Entrance(Door.DATA, Others.LEFT_OUT),
    "list_events": Entrance(Door.DATA, Others.LEFT_OUT),
    "list_experiments": Entrance(Door.DATA, Others.LEFT_OUT),
    "list_jobs": Entrance(Door.DATA, Others.LEFT_OUT),
    "list_model_files": Entrance(Door.DATA),
    "list_models": Entrance(Door.DATA, Others.LEFT_OUT),
    "list_replay": Entrance(Door.OVERSEER, Others.SAME),
    "pause": Entrance(Door.OPERATOR, Others.SAME, {"reason": "maintenance"}),
    "promote_model": Entrance(Door.CODE, body={"version": "1"}),
    "receive_events": Entrance(Door.OVERSEER, Others.SAME, {"id": "1", "eventType": "com.example.else"}),
    "replay": Entrance(Door.OVERSEER, Others.SAME, {"all": True}),
    "resume": Entrance(Door.OPERATOR, Others.SAME),
    "retry_job": Entrance(Door.DATA),
    "roll_back_model": Entrance(Door.CODE),
    "share_model": Entrance(Door.CODE, body={"allowed": ["vision"]}),
    "submit_job": Entrance(Door.DATA, body={"experiment_name": "digits"}),
    "watch_drops": Entrance(Door.DATA, Others.LEFT_OUT, query="?wait=0&after={cursor}"),
    "watch_events": Entrance(Door.DATA, Others.LEFT_OUT, query="?wait=0&after={cursor}"),
    "watch_job_log": Entrance(Door.DATA, query="?wait=0"),
    "revoke_approval": Entrance(Door.OPERATOR, Others.SAME),
}


PATHS = API.openapi()["paths"]


def operations() -> Iterator[tuple[str, str, str]]:
    """Yield (operationId, method, path) of each operation in the OpenAPI document."""
    for path, methods in PATHS.items():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), path


OPERATIONS = {operation: (method, path) for operation, method, path in operations()}


@pytest.fixture
def cursor(world: World) -> str:
    return world.kedja.receipts.journal.end().encoded()


@pytest.fixture
def trained(cursor: str, world: World) -> World:
    """Return a world with a model of the experiment digits."""
    world.drop_digits()
    world.rest()
    world.run_job(metrics={"accuracy": 0.97})
    return world


def send(client: Client, world: World, operation: str, cursor: str) -> httpx.Response:
    method, path = OPERATIONS[operation]
    receipt, entrance = world.receipt(), ENTRANCES[operation]
    values = {
        "{experiment}": receipt.experiment,
        "{drop}": receipt.drop,
        "{model}": "digits",
        "{version}": "1",
        "{digest}": DIGEST,
        "{name}": {"/api/jobs": receipt.job, "/api/experiments": "digits"}.get(path.partition("/{")[0], "gpu-large"),
    }
    for name, value in values.items():
        path = path.replace(name, str(value))
    assert "{" not in path, f"{operation}: a value is missing for {path}"
    return client.request(method, path + entrance.query.format(cursor=cursor), json=entrance.body)


def test_every_entrance_is_known() -> None:
    """A new route must be listed above, with who may call it."""
    assert sorted(OPERATIONS) == sorted(ENTRANCES)


@pytest.mark.parametrize("operation", sorted(ENTRANCES))
def test_without_a_key(trained: World, cursor: str, operation: str) -> None:
    answer = send(Client(api_over(lambda: trained.kedja, KEYS)), trained, operation, cursor)

    if ENTRANCES[operation].door is Door.OPEN:
        assert answer.status_code == HTTPStatus.OK
    else:
        assert answer.status_code == HTTPStatus.UNAUTHORIZED
        assert "digits" not in answer.text


@pytest.mark.parametrize("operation", sorted(ENTRANCES))
def test_with_a_key_for_data(trained: World, cursor: str, operation: str) -> None:
    answer = send(limited(trained, Role.DATA), trained, operation, cursor)

    if ENTRANCES[operation].door in (Door.CODE, Door.OPERATOR):
        assert answer.status_code == HTTPStatus.FORBIDDEN
    elif operation == "allow_events":  # it requires the sender's origin, which this request lacks
        assert answer.status_code == HTTPStatus.BAD_REQUEST
    else:
        assert answer.is_success or answer.status_code == HTTPStatus.CONFLICT, answer.text


@pytest.mark.parametrize("operation", sorted(ENTRANCES))
@pytest.mark.parametrize("role", Role)
def test_with_a_key_for_another_experiment(trained: World, cursor: str, operation: str, role: Role) -> None:
    before = dict(trained.blobs.stored), list(trained.queues.messages), dict(trained.training.jobs)
    client, entrance = limited(trained, role, "vision-*"), ENTRANCES[operation]
    key = trained.blobs.names_in("receipts", ".keys/")[-1]

    answer = send(client, trained, operation, cursor)

    if entrance.door in (Door.OVERSEER, Door.OPERATOR):
        assert answer.status_code == HTTPStatus.FORBIDDEN
    elif entrance.door is Door.CODE and role is Role.DATA:
        assert answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
    elif entrance.others is Others.ABSENT:
        assert answer.status_code == HTTPStatus.NOT_FOUND
    else:
        assert answer.status_code == HTTPStatus.OK
    if entrance.others is Others.LEFT_OUT:
        assert "digits" not in answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= set(answer.json())
    after = dict(trained.blobs.stored), list(trained.queues.messages), dict(trained.training.jobs)
    del after[0]["receipts", key]
    assert after == before


@pytest.mark.parametrize("operation", sorted(ENTRANCES))
def test_with_a_key_for_code(trained: World, cursor: str, operation: str) -> None:
    answer = send(limited(trained, Role.CODE), trained, operation, cursor)

    assert answer.status_code not in STATUSES_OF_THE_DOOR
    assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    method, path = OPERATIONS[operation]
    assert str(answer.status_code) in PATHS[path][method.lower()]["responses"], answer.text


def test_a_key_for_data_gets_no_link_for_scripts(trained: World) -> None:
    files = {"files": [{"container": "scripts", "name": "train.py"}]}

    answer = limited(trained, Role.DATA).post("/api/experiments/digits/uploads", json=files)

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "url" not in answer.text
    assert limited(trained, Role.CODE).post("/api/experiments/digits/uploads", json=files).is_success
