from http import HTTPStatus

import pytest
from attrs import evolve

from function_app import names
from function_app.http_api import create_api
from tests.unit.http_client import Client
from tests.unit.test_http_api import LOCAL
from tests.unit.world import World


@pytest.fixture
def client(world: World) -> Client:
    return Client(create_api(lambda: world.kedja, LOCAL))


@pytest.fixture
def jobs(world: World) -> list[str]:
    """Train two versions of the model digits, the second one being the champion; return their jobs."""
    world.drop_digits()
    world.rest()
    first = world.run_job(metrics={"accuracy": 0.9})
    world.drop("data/digits/more.npz")
    world.rest()
    return [first, world.run_job(metrics={"accuracy": 0.95})]


def test_versions_are_listed_with_what_they_came_of(client: Client, world: World, jobs: list[str]) -> None:
    items = client.get_json("/api/models")["items"]

    assert [(item["model"], item["version"], item["champion"]) for item in items] == [
        ("digits", "2", True),
        ("digits", "1", False),
    ]
    assert items[1]["job"] == jobs[0]
    assert items[1]["metrics"] == {"accuracy": 0.9}
    assert items[1]["experiment"] == "digits"
    assert items[1]["drop"] == world.receipts()[0].drop
    assert world.blobs.get(*items[1]["manifest"].split("/", 1)) is not None


def test_a_model_has_a_champion(client: Client, jobs: list[str]) -> None:
    model = client.get_json("/api/models/digits")

    assert model["champion"]["version"] == "2"
    assert model["champion"]["metrics"] == {"accuracy": 0.95}
    assert [version["version"] for version in model["versions"]] == ["2", "1"]


def test_a_version_has_its_files(client: Client, jobs: list[str]) -> None:
    version = client.get_json("/api/models/digits/1")

    assert version["champion"] is False
    assert version["job"] == jobs[0]
    assert [(file["path"], file["size"]) for file in version["files"]] == [("model.npz", 7)]


def test_the_champion_is_a_version(client: Client, jobs: list[str]) -> None:
    assert client.get_json("/api/models/digits/champion") == client.get_json("/api/models/digits/2")
    assert client.get_json("/api/models/digits/champion")["champion"] is True


@pytest.mark.parametrize(
    "path", ["other", "..", "other/1", "other/champion", "digits/3", "digits/latest", "digits/champion.json", ".x/1"]
)
def test_what_is_not_registered_is_not_found(client: Client, jobs: list[str], path: str) -> None:
    assert client.get(f"/api/models/{path}").status_code == HTTPStatus.NOT_FOUND


def test_a_version_that_is_still_being_copied_is_not_found(client: Client, world: World, jobs: list[str]) -> None:
    world.blobs.delete(names.MODELS, "digits/1/manifest.json")

    answer = client.get("/api/models/digits/1")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "not all copied" in answer.json()["detail"]


@pytest.mark.parametrize("metrics", ["", "[]", "not JSON", '{"accuracy": "high"}'])
def test_metrics_that_are_none_are_left_out(client: Client, world: World, jobs: list[str], metrics: str) -> None:
    world.training.versions[0] = evolve(world.training.versions[0], properties={"kedja_metrics": metrics})

    assert client.get_json("/api/models")["items"][1]["metrics"] == {}
