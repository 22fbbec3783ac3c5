import base64
import json
import re
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import function_app
from function_app.domain import naming
from function_app.errors import AppNotAllowed, ComputeRefused, InvalidSettings, KedjaError, StorageUnavailable
from function_app.http.api import create_api
from function_app.http.api_keys import ApiKeys
from function_app.http.callers import Role
from function_app.http.routes.service import DEPENDENCIES
from function_app.operations.service import Kedja
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.memory import MemoryBlobs
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World

PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def test_computes_are_listed_with_the_default(client: Client) -> None:
    answer = client.get_json("/api/compute")

    assert answer["default"] == "gpu-cluster"
    assert [item["name"] for item in answer["items"]] == ["gpu-cluster", "cpu-cluster"]
    assert answer["items"][0]["max_nodes"] == 4


def test_a_pause_holds_drops_back_until_it_ends(world: World, client: Client) -> None:
    assert client.get_json("/api/pause")["paused"] is False

    begun = client.request("PUT", "/api/pause", json={"reason": "maintenance"})
    assert begun.json() == {
        "paused": True,
        "reason": "maintenance",
        "by": "local",
        "since": "2026-03-01T12:00:00.250000Z",
    }
    assert client.get_json("/api/pause") == begun.json()
    world.drop_digits()
    world.go_on(300)
    assert world.receipts() == []

    assert client.request("DELETE", "/api/pause").json()["paused"] is False
    world.rest()
    assert world.receipt().status == "submitted"
    assert client.request("DELETE", "/api/pause").status_code == HTTPStatus.OK


def test_a_pause_that_was_written_by_hand_is_told(world: World, client: Client) -> None:
    world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"budget is used up\n")

    answer = client.get_json("/api/pause")

    assert (answer["paused"], answer["reason"], answer["by"]) == (True, "budget is used up", "somebody")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 501}])
def test_a_pause_has_a_reason(world: World, client: Client, body: dict[str, str]) -> None:
    assert client.request("PUT", "/api/pause", json=body).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert world.blobs.get(naming.RECEIPTS, naming.PAUSED_BLOB) is None


def test_health_has_versions_and_connects_to_nothing() -> None:
    answer = Client(api_over(lambda: pytest.fail("never"), LOCAL)).get_json("/api/health")

    assert answer["status"] == "ok"
    assert set(answer["packages"]) == set(DEPENDENCIES)
    assert re.fullmatch(r"\d+\.\d+.*", answer["packages"]["fastapi"])
    assert "checks" not in answer


def test_the_versions_are_those_of_the_project() -> None:
    assert function_app.__version__ == PROJECT["version"]
    assert {re.split(r"[<>=]", one)[0] for one in PROJECT["dependencies"]} == set(DEPENDENCIES)


def test_a_package_that_is_not_there_is_said(client: Client, mocker: MockerFixture) -> None:
    mocker.patch("function_app.http.routes.service.DEPENDENCIES", ("no-such-package",))

    assert client.get_json("/api/health")["packages"] == {"no-such-package": "not installed"}


def test_deep_health_asks_each_part(client: Client) -> None:
    checks = client.get_json("/api/health?deep=true")["checks"]

    assert {name: check["state"] for name, check in checks.items()} == {
        "settings": "ok",
        "storage": "ok",
        "training": "ok",
    }


def test_deep_health_names_the_part_that_fails(client: Client, mocker: MockerFixture) -> None:
    mocker.patch.object(MemoryBlobs, "page", side_effect=StorageUnavailable("list receipts: timed out"))

    answer = client.get("/api/health?deep=true")

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.json()["status"] == "failed"
    assert answer.json()["checks"]["storage"]["error"] == "list receipts: timed out"
    assert answer.json()["checks"]["training"]["state"] == "ok"


def test_deep_health_tells_of_settings_that_do_not_connect() -> None:
    def connect() -> Kedja:
        raise InvalidSettings("Storage is not configured.")

    answer = Client(api_over(connect, LOCAL)).get("/api/health?deep=true")

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.json()["checks"]["settings"]["error"] == "Storage is not configured."
    assert set(answer.json()["checks"]) == {"settings"}


EASY_AUTH = {"KEDJA_AUTH": "easy-auth", "WEBSITE_SITE_NAME": "kedja", "WEBSITE_AUTH_ENABLED": "True"}


def signed_in(role: str) -> dict[str, str]:
    principal = {"role_typ": "roles", "claims": [{"typ": "roles", "val": role}]}
    return {
        "X-MS-CLIENT-PRINCIPAL-ID": "0b5e",
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(principal).encode()).decode(),
    }


def test_the_checks_are_those_of_deep_health(client: Client) -> None:
    def timeless(path: str) -> dict[str, Any]:
        told: dict[str, Any] = client.get_json(path)
        return {**told, "checks": {name: check["state"] for name, check in told["checks"].items()}}

    assert timeless("/api/checks") == timeless("/api/health?deep=true")


def test_a_sign_in_is_read_where_it_stands_before_the_app_alone(world: World) -> None:
    client = Client(create_api(lambda: world.kedja, EASY_AUTH), signed_in("Kedja.Data"))

    assert client.get("/api/checks").status_code == HTTPStatus.OK
    refused = client.get("/api/health?deep=true")
    assert refused.status_code == HTTPStatus.UNAUTHORIZED
    assert "GET /api/checks" in refused.json()["detail"]
    assert "checks" not in refused.json()
    assert client.get("/api/health").status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/api/health/?deep=true", "/API/health?deep=true", "/api//health?deep=true"])
def test_no_other_spelling_leads_to_deep_health(path: str) -> None:
    api = create_api(lambda: pytest.fail("never"), EASY_AUTH)

    assert Client(api, signed_in("Kedja.Code")).get(path).status_code == HTTPStatus.NOT_FOUND
    spelt = Client(api, signed_in("Kedja.Code")).get("/api/%68ealth?deep=true")
    assert spelt.status_code == HTTPStatus.UNAUTHORIZED


def test_a_key_is_taken_by_deep_health_whatever_headers_come_with_it(world: World) -> None:
    key, _ = ApiKeys(blobs=world.blobs, clock=world.clock).create("robot", Role.DATA, experiments=("*",))
    client = Client(create_api(lambda: world.kedja, {**EASY_AUTH, "KEDJA_AUTH": "easy-auth,keys"}))

    assert client.get("/api/health?deep=true", headers={"X-Kedja-Key": key}).status_code == HTTPStatus.OK
    refused = client.get("/api/health?deep=true", headers=signed_in("Kedja.Code"))
    assert refused.status_code == HTTPStatus.UNAUTHORIZED
    assert "send a Kedja API key" in refused.json()["detail"]
    assert "sign in" not in refused.json()["detail"]


def test_compute_is_created(client: Client, world: World) -> None:
    answer = client.request("PUT", "/api/compute/gpu-large", json={"size": "Standard_NC6s_v3", "max_nodes": 2})

    assert answer.status_code == HTTPStatus.ACCEPTED
    assert answer.json()["name"] == "gpu-large"
    assert world.training.made_computes["gpu-large"].max_nodes == 2


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (AppNotAllowed("Give it AzureML Compute Operator."), HTTPStatus.BAD_GATEWAY, "app-not-allowed"),
        (ComputeRefused("There is one already."), HTTPStatus.UNPROCESSABLE_ENTITY, "compute-refused"),
    ],
)
def test_compute_that_cannot_be_created_says_why(
    client: Client, mocker: MockerFixture, error: KedjaError, status: HTTPStatus, kind: str
) -> None:
    mocker.patch.object(MemoryTraining, "create_compute", side_effect=error)
    answer = client.request("PUT", "/api/compute/gpu-large", json={"size": "Standard_NC6s_v3", "max_nodes": 2})

    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:kedja:problem:{kind}"
    assert answer.json()["detail"] == str(error)


@pytest.mark.parametrize("name", ["x", "-a", "a_b", "a" * 25, "a%2Fb"])
def test_compute_has_a_name_that_azure_takes(client: Client, name: str) -> None:
    answer = client.request("PUT", f"/api/compute/{name}", json={"size": "Standard_NC6s_v3", "max_nodes": 2})

    assert answer.is_client_error
