from http import HTTPStatus

import httpx
import pytest
from attrs import evolve
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Artifact
from function_app.http.callers import Role
from function_app.http.paging.position import PageToken
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Champion
from function_app.ports.training_service import JobStatus
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.memory import MemoryBlobs
from tests.unit.simulation import World


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


@pytest.fixture
def jobs(world: World) -> list[str]:
    """Train two versions of the model digits, of which the second is the champion; return their jobs."""
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
    world.blobs.delete(naming.MODELS, "digits/1/manifest.json")

    answer = client.get("/api/models/digits/1")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "not all copied" in answer.json()["detail"]


@pytest.mark.parametrize("metrics", ["", "[]", "not JSON", '{"accuracy": "high"}'])
def test_metrics_that_are_none_are_left_out(client: Client, world: World, jobs: list[str], metrics: str) -> None:
    world.training.versions[0] = evolve(world.training.versions[0], properties={"kedja_metrics": metrics})

    assert client.get_json("/api/models")["items"][1]["metrics"] == {}


def test_models_come_in_pages(world: World, client: Client, jobs: list[str]) -> None:
    first = world.training.versions[0]
    world.training.versions += [evolve(first, model="another", version=str(number)) for number in (9, 10, 11)]
    seen, after = [], ""
    while True:
        page = client.get_json(f"/api/models?limit=2{after}")
        seen += [f"{item['model']}:{item['version']}" for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == ["another:11", "another:10", "another:9", "digits:2", "digits:1"]


def test_names_that_begin_alike_come_once_each(world: World, client: Client, jobs: list[str]) -> None:
    first = world.training.versions[0]
    names_of_models = ["a", "a-b", "a.c", "a0", "a_d"]
    world.training.versions[:] = [evolve(first, model=name) for name in names_of_models]
    seen, after = [], ""
    while after is not None:
        page = client.get_json(f"/api/models?limit=1{after and f'&after={after}'}")
        seen += [item["model"] for item in page["items"]]
        after = page["next"]

    assert sorted(seen) == names_of_models


def test_a_page_asks_about_few_models_however_many_there_are(world: World, client: Client, jobs: list[str]) -> None:
    first = world.training.versions[0]
    world.training.versions[:] = [evolve(first, model=f"model{number:03}") for number in range(300)]
    after = client.get_json("/api/models?limit=100")["next"]
    world.training.calls.clear()
    world.blobs.calls.clear()

    items = client.get_json(f"/api/models?limit=5&after={after}")["items"]

    assert [item["model"] for item in items] == [f"model{number:03}" for number in range(100, 105)]
    assert len([call for call in world.training.calls if call[0] == "models"]) == 16
    # None of them has a champion, and what storage does not find is looked for twice.
    assert len([call for call in world.blobs.calls if call.name.endswith("champion.json")]) == 10


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=x"])
def test_a_page_that_is_none_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/models?{query}").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize("version", ["1", "champion"])
def test_files_have_links_to_read_them(client: Client, world: World, jobs: list[str], version: str) -> None:
    found = client.get_json(f"/api/models/digits/{version}/files")
    number = {"1": "1", "champion": "2"}[version]
    manifest = client.get_json(f"/api/models/digits/{number}")

    assert (found["model"], found["version"]) == ("digits", number)
    (item,) = found["items"]
    (file,) = manifest["files"]
    assert {key: item[key] for key in file} == file
    assert item["url"].startswith(f"https://kedja.blob.core.windows.net/models/digits/{number}/model.npz?sp=r&")
    assert (item["md5"], found["next"]) == (None, None)
    assert item["expires_at"] == client.get_json("/api/models/digits/1/files")["items"][0]["expires_at"]


def fill(world: World, version: str, count: int, *, hashed: bool = True) -> list[str]:
    """Give a version `count` files; return their paths."""
    manifest = ModelManifest.read(world.blobs, "digits", version)
    assert manifest is not None
    paths = [f"samples/{version}-{number:04}.png" for number in range(count)]
    files = tuple(Artifact(path=path, size=1, sha256="0" * 64 if hashed else None) for path in paths)
    data = manifest.model_copy(update={"files": files}).to_bytes()
    world.blobs.replace(naming.MODELS, ModelManifest.blob("digits", version), data)
    for path in paths:
        world.blobs.upload(naming.MODELS, f"digits/{version}/{path}", path.encode())
    return paths


def files_of(client: Client, version: str, query: str = "") -> list[str]:
    """Return the paths of a version's files, page by page."""
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = client.get_json(f"/api/models/digits/{version}/files?{query}{after and f'&after={after}'}")
        seen += [item["path"] for item in page["items"]]
        after = page["next"]
    return seen


@pytest.mark.parametrize(("count", "query"), [(200, ""), (401, ""), (7, "limit=3"), (6, "limit=3"), (0, "")])
def test_files_come_in_pages(client: Client, world: World, jobs: list[str], count: int, query: str) -> None:
    paths = fill(world, "1", count)
    assert files_of(client, "1", query) == paths


@pytest.mark.parametrize(("query", "most"), [("", 200), ("limit=1000", 1000), ("limit=7", 7)])
def test_only_the_files_of_a_page_are_signed(
    client: Client, world: World, jobs: list[str], mocker: MockerFixture, query: str, most: int
) -> None:
    fill(world, "1", 1200)
    signed = mocker.spy(MemoryBlobs, "sign")
    world.blobs.calls.clear()

    assert len(client.get_json(f"/api/models/digits/1/files?{query}")["items"]) == most
    assert len(signed.call_args_list) == most  # `call_count` loses calls of threads
    assert [call.operation for call in world.blobs.calls] == ["read", "read"]  # the champion and the manifest


def test_a_file_without_sha256_has_its_md5(client: Client, world: World, jobs: list[str]) -> None:
    paths = fill(world, "1", 5, hashed=False)
    world.blobs.delete(naming.MODELS, f"digits/1/{paths[1]}")
    items = client.get_json("/api/models/digits/1/files?limit=2")["items"]

    there = world.blobs.get(naming.MODELS, f"digits/1/{paths[0]}")
    assert there is not None
    assert there.md5 is not None
    assert [item["md5"] for item in items] == [there.md5, None]


def test_pages_of_the_champions_files_are_of_one_version(client: Client, world: World, jobs: list[str]) -> None:
    fill(world, "1", 4)
    paths = fill(world, "2", 4)
    first = client.get_json("/api/models/digits/champion/files?limit=2")
    promote(client, "1")
    second = client.get_json(f"/api/models/digits/champion/files?limit=2&after={first['next']}")

    assert (first["version"], second["version"]) == ("2", "2")
    assert [item["path"] for item in (*first["items"], *second["items"])] == paths


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "after=x",
        *(
            f"after={PageToken(token=token, last=last).encoded()}"
            for token, last in [(None, "1"), ("..", "1"), ("1", "x")]
        ),
    ],
)
def test_a_page_of_files_that_is_none_is_refused(client: Client, jobs: list[str], query: str) -> None:
    answer = client.get(f"/api/models/digits/1/files?{query}")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_another_experiments_files_are_in_no_page(world: World, client: Client, jobs: list[str]) -> None:
    after = PageToken(token="1", last="0").encoded()
    answer = limited(world, Role.DATA, "other").get(f"/api/models/digits/champion/files?after={after}")
    assert answer.status_code == HTTPStatus.NOT_FOUND


def promote(client: Client, version: str, reason: str | None = None) -> httpx.Response:
    return client.request("PUT", "/api/models/digits/champion", json={"version": version, "reason": reason})


def test_a_version_is_promoted_and_rolled_back(client: Client, world: World, jobs: list[str]) -> None:
    promoted = promote(client, "1", "2 is wrong about sevens").json()
    assert (promoted["version"], promoted["by"], promoted["reason"]) == ("1", "local", "2 is wrong about sevens")
    assert promoted["metrics"] == {"accuracy": 0.9}
    assert [one["version"] for one in promoted["history"]] == ["1", "2"]
    assert client.get_json("/api/models/digits")["champion"] == promoted
    assert client.get_json("/api/models/digits/champion")["model_version"] == "1"

    again = client.post("/api/models/digits/champion/rollback", json={"reason": "after all"}).json()
    assert (again["version"], again["reason"]) == ("2", "after all")
    world.drop("data/digits/even more.npz")
    world.rest()
    world.run_job(metrics={"accuracy": 0.96})
    assert client.get_json("/api/models/digits/champion")["model_version"] == "3"


def test_what_was_promoted_stays_while_an_older_job_ends(client: Client, world: World) -> None:
    world.drop_digits()
    world.rest()
    first = world.run_job()
    world.clock.advance(60)
    world.drop("data/digits/more.npz", b"more")
    world.rest()
    older = world.live_jobs()[0].name
    world.training.move(older, JobStatus.RUNNING)
    world.rest()
    world.clock.advance(60)
    world.drop("data/digits/most.npz", b"most")
    world.rest()
    world.run_job(next(job.name for job in world.live_jobs() if job.name != older))
    promote(client, "1")
    world.run_job(older)

    found = client.get_json("/api/models/digits")
    assert found["champion"]["version"] == "1"
    assert found["versions"][-1]["job"] == first
    assert len(found["versions"]) == 3


@pytest.mark.parametrize("version", ["3", "x", "", "01x"])
def test_what_is_no_version_is_not_promoted(client: Client, jobs: list[str], version: str) -> None:
    assert promote(client, version).is_client_error
    assert client.get_json("/api/models/digits/champion")["model_version"] == "2"


def test_a_version_whose_receipt_was_deleted_may_be_promoted(client: Client, world: World, jobs: list[str]) -> None:
    world.blobs.delete(naming.RECEIPTS, f"{world.receipts()[0].name}.json")

    assert promote(client, "1").json()["version"] == "1"


def test_where_there_is_none_before_it_says_so(client: Client, jobs: list[str]) -> None:
    assert client.post("/api/models/digits/champion/rollback").json()["version"] == "1"
    refused = client.post("/api/models/digits/champion/rollback")
    assert refused.status_code == HTTPStatus.CONFLICT
    assert "nothing to roll back to" in refused.json()["detail"]
    assert client.post("/api/models/nobody/champion/rollback").status_code == HTTPStatus.NOT_FOUND


def test_a_version_without_files_is_not_rolled_back_to(client: Client, world: World, jobs: list[str]) -> None:
    world.blobs.delete(naming.MODELS, "digits/1/manifest.json")

    assert client.post("/api/models/digits/champion/rollback").status_code == HTTPStatus.CONFLICT


def test_a_limited_caller_is_told_of_no_other_experiments_champions(world: World, jobs: list[str]) -> None:
    found = Champion.read(world.blobs, "digits")
    assert found is not None
    other = found[0].history[0].model_copy(update={"receipt": f"secret/{0:064}"})
    changed = found[0].model_copy(update={"history": (other, *found[0].history)})
    world.blobs.replace(naming.MODELS, "digits/champion.json", changed.to_bytes())
    client = limited(world, Role.CODE, "digits")

    assert "secret" not in client.get("/api/models/digits").text
    assert "secret" not in promote(client, "1").text
    assert "secret" not in client.post("/api/models/digits/champion/rollback").text


def test_a_champion_of_an_experiment_that_the_caller_may_not_see_stays(world: World, jobs: list[str]) -> None:
    champion = world.kedja.champions.find("digits")
    assert champion is not None
    foreign = champion.model_copy(update={"receipt": f"secret/{0:064}", "owner": "secret"})
    world.blobs.replace(naming.MODELS, "digits/champion.json", foreign.to_bytes())

    refused = promote(limited(world, Role.CODE, "digits"), "1")

    assert refused.status_code == HTTPStatus.CONFLICT
    assert "secret" not in refused.text
    assert world.kedja.champions.find("digits") == foreign
    assert promote(Client(api_over(lambda: world.kedja, LOCAL)), "1").status_code == HTTPStatus.OK
