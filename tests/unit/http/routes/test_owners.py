"""Owners over HTTP: who may see and change them, and what another experiment's key cannot do to a model."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.http.api import create_api
from function_app.http.callers import Role
from tests.unit.api import LOCAL, limited
from tests.unit.http_client import Client
from tests.unit.owned_models import as_before_owners, champion, drop, owner, share, train
from tests.unit.simulation import World

ADDRESS = "/api/models/team-b/owner"


@pytest.fixture
def client(world: World) -> Client:
    return Client(create_api(lambda: world.kedja, LOCAL))


@pytest.fixture
def shared(world: World) -> World:
    """Create a model of team-b with a champion from team-a."""
    train(world, "team-b", 0.95)
    share(world, "team-b", "team-a")
    train(world, "team-a", 0.5, model="team-b")
    assert champion(world, "team-b").experiment == "team-a"
    return world


def put(client: Client, allowed: list[str], path: str = ADDRESS, **headers: str) -> httpx.Response:
    return client.request("PUT", path, json={"allowed": allowed}, headers=headers)


def stored(world: World) -> Mapping[str, Any]:
    return {name: world.blobs.stored[naming.MODELS, name].data for name in world.blobs.names_in(naming.MODELS)}


class TestOwner:
    def test_is_told_before_and_after_it_is_stored(self, world: World, client: Client) -> None:
        train(world, "team-b", 0.95)
        before = client.get_json(ADDRESS)
        assert (before["owner"], before["allowed"], before["by"]) == ("team-b", [], None)
        assert world.blobs.names_in(naming.MODELS, "team-b/owner") == []

        changed = put(client, ["team-a", "vision-*", "Ångström", "team-b"])

        assert changed.status_code == HTTPStatus.OK
        told = changed.json()
        assert told["allowed"] == ["team-a", "vision-*", naming.slug("Ångström")]
        assert (told["owner"], told["by"]) == ("team-b", "local")
        assert client.get_json(ADDRESS) == told
        assert owner(world, "team-b").model_dump(mode="json") == {"version": 1, **told}

    def test_is_told_of_a_model_of_an_earlier_release(self, world: World, client: Client) -> None:
        train(world, "team-b", 0.95, model="mnist")
        share(world, "mnist", "team-a")
        train(world, "team-a", 0.96, model="mnist")
        as_before_owners(world, "mnist")
        told = client.get_json("/api/models/mnist/owner")
        assert (told["owner"], told["allowed"]) == ("team-b", ["team-a"])

    @pytest.mark.parametrize("model", ["nobodys", "..", ".x", "x" * 300])
    def test_of_no_model_is_not_found(self, client: Client, model: str) -> None:
        assert client.get(f"/api/models/{model}/owner").status_code == HTTPStatus.NOT_FOUND
        assert put(client, [], f"/api/models/{model}/owner").status_code == HTTPStatus.NOT_FOUND

    @pytest.mark.parametrize("allowed", [[""], ["a" * 201], ["a"] * 101, "team-a", [1], None])
    def test_a_list_that_is_none_is_refused(self, shared: World, client: Client, allowed: Any) -> None:  # noqa: ANN401 - anything
        before = stored(shared)
        assert put(client, allowed).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert stored(shared) == before

    @pytest.mark.parametrize("role", Role)
    def test_is_no_business_of_those_who_do_not_see_the_owner(self, shared: World, role: Role) -> None:
        """Not even the experiments that the model is shared with."""
        client, before = limited(shared, role, "team-a"), stored(shared)
        assert client.get(ADDRESS).status_code == HTTPStatus.NOT_FOUND
        refused = put(client, ["team-a", "team-c"])
        assert refused.status_code == (HTTPStatus.NOT_FOUND if role is Role.CODE else HTTPStatus.FORBIDDEN)
        assert stored(shared) == before

    def test_may_be_changed_by_a_caller_for_the_owner_with_the_role_code_alone(self, shared: World) -> None:
        assert put(limited(shared, Role.DATA, "team-b"), []).status_code == HTTPStatus.FORBIDDEN
        assert put(limited(shared, Role.CODE, "team-b"), []).status_code == HTTPStatus.OK
        assert owner(shared, "team-b").allowed == ()

    def test_is_changed_only_as_it_was_read(self, world: World, client: Client) -> None:
        train(world, "team-b", 0.95)
        unstored = client.get(ADDRESS).headers["ETag"]
        first = put(client, ["team-a"], **{"If-Match": unstored})
        assert first.status_code == HTTPStatus.OK
        assert client.get(ADDRESS).headers["ETag"] == first.headers["ETag"] != unstored

        refused = put(client, ["team-c"], **{"If-Match": unstored})
        assert refused.status_code == HTTPStatus.PRECONDITION_FAILED
        assert refused.json()["type"] == "urn:kedja:problem:changed"
        assert owner(world, "team-b").allowed == ("team-a",)
        second = put(client, ["team-c"], **{"If-Match": "*"})
        third = put(client, ["team-d"], **{"If-Match": f'"x", {second.headers["ETag"]}'})
        assert second.status_code == third.status_code == HTTPStatus.OK
        assert owner(world, "team-b").allowed == ("team-d",)


class TestJobs:
    def test_of_anothers_model_are_refused_and_nothing_is_written(self, world: World) -> None:
        train(world, "team-b", 0.95)
        train(world, "team-a", 0.5)
        before, jobs = dict(world.blobs.stored), len(world.training.jobs)
        client = Client(create_api(lambda: world.kedja, LOCAL))
        body = {"experiment_name": "team-a", "kedja": {"register": {"model": "team-b"}}}

        refused = client.post("/api/jobs", json=body)

        assert refused.status_code == HTTPStatus.CONFLICT
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:kedja:problem:model-not-shared"
        assert "kedja share team-b --with team-a" in refused.json()["detail"]
        after = {name: blob for name, blob in world.blobs.stored.items() if name[1] != "team-b/owner.json"}
        assert (after, len(world.training.jobs)) == (before, jobs)
        dry = client.post("/api/jobs?dry_run=true", json=body).json()
        assert (dry["status"], dry["document"]) == ("rejected", None)
        assert "kedja.register.model" in dry["what_to_do"]

    def test_of_the_same_content_are_still_answered_with_the_job_that_there_is(
        self, shared: World, client: Client
    ) -> None:
        share(shared, "team-b")
        found = client.post("/api/jobs", json={"experiment_name": "team-a"})
        assert found.status_code == HTTPStatus.ACCEPTED
        assert found.json()["status"] == Status.REGISTERED
        forced = client.post("/api/jobs?force=true", json={"experiment_name": "team-a"})
        assert forced.status_code == HTTPStatus.CONFLICT
        retried = client.post(f"/api/jobs/{found.json()['name']}/retry")
        assert retried.json()["type"] == "urn:kedja:problem:model-not-shared"


class TestChampion:
    """The owner's key can always restore its champion; another key can replace only its own versions."""

    def test_is_rolled_back_by_the_owner_whoever_registered_it(self, shared: World) -> None:
        client = limited(shared, Role.CODE, "team-b")
        again = client.post("/api/models/team-b/champion/rollback")
        assert again.status_code == HTTPStatus.OK
        assert (again.json()["version"], again.json()["metrics"]) == ("1", {"accuracy": 0.95})
        assert "team-a" not in again.text

    def test_is_promoted_by_the_owner_whoever_registered_it(self, shared: World) -> None:
        client = limited(shared, Role.CODE, "team-b")
        made = client.request("PUT", "/api/models/team-b/champion", json={"version": "1"})
        assert (made.status_code, made.json()["version"]) == (HTTPStatus.OK, "1")
        assert champion(shared, "team-b").version == "1"

    def test_is_not_promoted_by_another_whatever_is_the_champion(self, shared: World) -> None:
        train(shared, "team-a", 0.6, model="team-b", data="y")
        refused = limited(shared, Role.CODE, "team-a").request(
            "PUT", "/api/models/team-b/champion", json={"version": "2"}
        )
        assert refused.status_code == HTTPStatus.CONFLICT
        assert "may not replace" in refused.json()["detail"]
        assert champion(shared, "team-b").version == "3"

    def test_is_not_promoted_by_another_if_there_is_none(self, shared: World) -> None:
        shared.blobs.delete(naming.MODELS, naming.champion_blob("team-b"))
        client = limited(shared, Role.CODE, "team-a")
        refused = client.request("PUT", "/api/models/team-b/champion", json={"version": "2"})
        assert refused.status_code == HTTPStatus.CONFLICT
        assert shared.kedja.champions.find("team-b") is None

    def test_of_its_own_may_be_taken_back_by_another(self, shared: World) -> None:
        train(shared, "team-a", 0.6, model="team-b", data="y")
        client = limited(shared, Role.CODE, "team-a")
        assert client.post("/api/models/team-b/champion/rollback").json()["version"] == "2"

        refused = client.post("/api/models/team-b/champion/rollback")  # the previous champion is the owner's
        assert refused.status_code == HTTPStatus.CONFLICT
        assert "not from an experiment of yours" in refused.json()["detail"]
        assert champion(shared, "team-b").version == "2"

    def test_of_the_owner_is_not_seen_by_another(self, shared: World) -> None:
        train(shared, "team-b", 0.97, data="y")
        client = limited(shared, Role.CODE, "team-a")
        assert client.post("/api/models/team-b/champion/rollback").status_code == HTTPStatus.NOT_FOUND
        assert client.get_json("/api/models/team-b")["champion"] is None

    def test_does_not_tell_another_whose_the_model_is(self, world: World) -> None:
        train(world, "secret", 0.5, model="mnist")
        share(world, "mnist", "team-a")
        train(world, "team-a", 0.6, model="mnist")
        told = limited(world, Role.CODE, "team-a").get("/api/models/mnist")
        assert told.json()["champion"]["version"] == "2"
        assert "secret" not in told.text
        assert (
            limited(world, Role.CODE, "secret").post("/api/models/mnist/champion/rollback").json()["owner"] == "secret"
        )

    def test_of_an_earlier_release_is_rolled_back_by_the_owner_too(self, shared: World) -> None:
        as_before_owners(shared, "team-b")
        client = limited(shared, Role.CODE, "team-b")
        assert client.post("/api/models/team-b/champion/rollback").json()["version"] == "1"


def test_a_drop_that_was_rejected_goes_on_once_the_model_is_shared_over_http(world: World, client: Client) -> None:
    train(world, "team-b", 0.95)
    assert drop(world, "team-a", model="team-b").status is Status.REJECTED
    put(limited(world, Role.CODE, "team-b"), ["team-a"])
    assert client.post("/api/jobs", json={"experiment_name": "team-a"}).json()["status"] == Status.SUBMITTED
