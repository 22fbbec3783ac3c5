"""The API on top of the service in memory: who may call, what each route returns, and how errors are reported."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from function_app.domain import naming
from function_app.errors import (
    InvalidSettings,
)
from function_app.http.api import create_api
from function_app.http.auth import RequireRole
from function_app.http.callers import Role
from function_app.http.lazy import LazyApi
from function_app.operations.service import Kedja
from tests.unit.api import KEYS, LOCAL, ROUTES, api_over, limited
from tests.unit.http_client import Client
from tests.unit.simulation import World


@pytest.fixture
def client(kedja: Kedja) -> Client:
    return Client(api_over(lambda: kedja, LOCAL))


def needs_of(dependant: Dependant) -> list[RequireRole]:
    own = [dependant.call] if isinstance(dependant.call, RequireRole) else []
    return [*own, *(needs for inner in dependant.dependencies for needs in needs_of(inner))]


ANONYMOUS = "GET /api/health"


# Who may call.


@pytest.mark.parametrize("name", sorted(set(ROUTES) - {ANONYMOUS}))
def test_each_route_says_once_what_its_caller_needs(name: str) -> None:
    (needs,) = needs_of(ROUTES[name].dependant)

    assert needs.key_in_query is (name in ("OPTIONS /api/events", "POST /api/events"))


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_nobody_unknown_gets_anything(name: str) -> None:
    api = api_over(lambda: pytest.fail("Nothing may connect for somebody unknown."), KEYS)
    method, path = name.split(" ")

    answer = Client(api).request(method, path.replace("{", "").replace("}", ""), json={})

    assert answer.status_code == (HTTPStatus.OK if name == ANONYMOUS else HTTPStatus.UNAUTHORIZED)
    if name != ANONYMOUS:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:kedja:problem:unauthenticated"


def test_deep_health_takes_a_caller(world: World) -> None:
    assert Client(api_over(lambda: world.kedja, KEYS)).get("/api/health?deep=true").status_code == 401


def test_where_nothing_is_set_everyone_is_told_what_to_set(world: World) -> None:
    answer = Client(api_over(lambda: world.kedja, {})).get("/api/drops")

    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "KEDJA_AUTH is not set" in answer.json()["detail"]


def test_an_open_app_does_not_start_in_azure() -> None:
    with pytest.raises(InvalidSettings, match="KEDJA_AUTH"):
        create_api(lambda: pytest.fail("never"), {"WEBSITE_SITE_NAME": "kedja"})
    with pytest.raises(InvalidSettings, match="KEDJA_AUTH"):
        LazyApi(lambda: pytest.fail("never"), {"WEBSITE_SITE_NAME": "kedja"})


@pytest.mark.parametrize("header", ["X-Kedja-Key", "Authorization"])
def test_a_key_comes_in_either_header(world: World, header: str) -> None:
    client = limited(world, Role.DATA)
    key = client.headers["X-Kedja-Key"]
    value = f"Bearer {key}" if header == "Authorization" else key

    assert Client(client.app, {header: value}).get("/api/drops").status_code == HTTPStatus.OK


def test_a_key_in_the_query_is_for_events_alone(world: World) -> None:
    client = limited(world, Role.DATA)
    key = client.headers["X-Kedja-Key"]

    assert Client(client.app).get(f"/api/drops?key={key}").status_code == HTTPStatus.UNAUTHORIZED
    assert Client(client.app).post(f"/api/events?key={key}", json=[]).status_code == HTTPStatus.OK


def test_data_does_not_pause(world: World) -> None:
    answer = limited(world, Role.DATA).request("PUT", "/api/pause", json={"reason": "maintenance"})

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert answer.json()["type"] == "urn:kedja:problem:role-missing"


def test_code_for_some_experiments_does_not_pause_them_all(world: World) -> None:
    answer = limited(world, Role.CODE, "digits").request("DELETE", "/api/pause")

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "every experiment" in answer.json()["detail"]


def test_easy_auth_is_read_from_the_headers_of_the_request(world: World) -> None:
    api = api_over(
        lambda: world.kedja, {"KEDJA_AUTH": "easy-auth", "WEBSITE_SITE_NAME": "kedja", "WEBSITE_AUTH_ENABLED": "True"}
    )

    answer = Client(api, {"X-MS-CLIENT-PRINCIPAL-ID": "0b5e"}).get("/api/drops")

    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "0b5e has no role" in answer.json()["detail"]


# What other callers do not see.


@pytest.fixture
def trained(world: World) -> str:
    """Train and register a model of the experiment digits; return the job's name."""
    world.drop_digits()
    world.rest()
    return world.run_job(metrics={"accuracy": 0.97})


@pytest.mark.parametrize(
    "address",
    [
        "GET /api/jobs/{job}",
        "GET /api/jobs/{job}/logs",
        "POST /api/jobs/{job}/cancel",
        "POST /api/jobs/{job}/retry",
        "GET /api/drops/digits/latest",
        "GET /api/drops/digits/{drop}",
        "GET /api/models/digits",
        "GET /api/models/digits/1",
        "GET /api/models/digits/champion",
    ],
)
def test_another_experiments_things_are_not_there(world: World, trained: str, address: str) -> None:
    method, path = address.format(job=trained, drop=world.receipt().drop).split(" ")
    own, other = limited(world, Role.CODE, "dig*"), limited(world, Role.CODE, "vision-*")

    assert other.request(method, path).status_code == HTTPStatus.NOT_FOUND
    assert own.request(method, path).status_code != HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("address", ["/api/jobs", "/api/drops", "/api/models"])
def test_lists_leave_out_another_experiments_things(world: World, trained: str, address: str) -> None:
    assert len(limited(world, Role.DATA, "digits").get_json(address)["items"]) == 1
    assert limited(world, Role.DATA, "vision-*").get_json(address)["items"] == []


def test_nothing_of_another_experiment_is_submitted(world: World, trained: str) -> None:
    client = limited(world, Role.CODE, "vision-*")

    assert client.post("/api/jobs", json={"experiment_name": "digits"}).status_code == HTTPStatus.NOT_FOUND
    # A subfolder belongs to its experiment, whatever name it would get as an experiment.
    world.blobs.upload(naming.SCRIPTS, "vision/a/train.py", b"pass")
    assert client.post("/api/jobs", json={"experiment_name": "vision/a"}).status_code == 422


def test_the_folder_of_keys_is_no_experiment(world: World) -> None:
    client = limited(world, Role.CODE)
    (key,) = [name for name in world.blobs.names_in(naming.RECEIPTS) if name.startswith(".keys/")]
    number = key.removeprefix(".keys/").removesuffix(".json")

    for path in (f"/api/drops/.keys/{number}", f"/api/drops/.keys/{number[:8]}", f"/api/jobs/.keys-{number}-1"):
        assert client.get(path).status_code == HTTPStatus.NOT_FOUND


def test_no_answer_is_kept_by_caches(client: Client) -> None:
    assert client.get("/api/health").headers["cache-control"] == "no-store"


# The OpenAPI document.


def test_openapi_has_every_route_with_its_problems(client: Client) -> None:
    schema = client.get_json("/api/openapi.json")
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }

    assert set(operations) == set(ROUTES) - {"GET /api/openapi.json"}
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    for operation in operations.values():
        assert operation["tags"]
        assert list(operation["responses"]["401"]["content"]) == ["application/problem+json"]
    asks_the_service = ("get_job", "get_job_log", "get_job_metrics", "list_compute", "create_compute")
    assert set(asks_the_service) <= {one["operationId"] for one in operations.values() if "502" in one["responses"]}
    assert "ProblemView" in schema["components"]["schemas"]


def test_every_reference_of_openapi_leads_somewhere(client: Client) -> None:
    schema = client.get_json("/api/openapi.json")

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (item for key, item in value.items() if key == "$ref")
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in set(references(schema)):
        assert reference.rpartition("/")[2] in schema["components"]["schemas"]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_there_is_no_page_that_loads_from_elsewhere(client: Client, path: str) -> None:
    assert client.get(path).status_code == HTTPStatus.NOT_FOUND


# Lazy import.


def test_the_door_opens_at_the_first_request(kedja: Kedja) -> None:
    door = LazyApi(lambda: kedja, LOCAL)

    assert "_api" not in vars(door)
    assert Client(door).get("/api/drops").json() == {"items": [], "next": None}
    assert isinstance(vars(door)["_api"], FastAPI)


def test_the_documentation_has_every_route() -> None:
    text = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()

    for name in ROUTES:
        assert f"`{name}" in text, name
