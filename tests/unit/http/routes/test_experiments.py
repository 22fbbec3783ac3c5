from http import HTTPStatus
from typing import Any

import pytest

from function_app.domain import naming
from function_app.http.api_keys import ApiKeys
from function_app.http.callers import Role
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


@pytest.fixture
def trained(world: World) -> World:
    for folder in ("digits", "Größen"):
        world.drop(f"scripts/{folder}/train.py", b"print('trained')\n")
        world.drop(f"data/{folder}/digits.npz", b"digits")
        world.rest()
        world.run_job()
        world.clock.advance(60)
    return world


def keyed(world: World, role: Role, experiments: tuple[str, ...]) -> Client:
    api = api_over(lambda: world.kedja, {**LOCAL, "KEDJA_AUTH": "keys"})
    key, _ = ApiKeys(blobs=world.blobs).create("someone", role, experiments=experiments)
    return Client(api, {"X-Kedja-Key": key})


def delete(client: Client, path: str, status: HTTPStatus) -> Any:  # noqa: ANN401 - JSON
    answer = client.request("DELETE", f"/api/experiments/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


class TestList:
    def test_tells_each_by_its_latest_drop(self, client: Client, trained: World) -> None:
        page = client.get_json("/api/experiments")

        assert page["next"] is None
        assert [item["folder"] for item in page["items"]] == ["digits", "Größen"]
        receipt = trained.receipt()
        assert page["items"][0] == {
            "experiment": "digits",
            "folder": "digits",
            "drop": receipt.drop,
            "status": "registered",
            "received_at": "2026-03-01T12:00:10.250000Z",
            "newest_upload": "2026-03-01T12:00:00Z",
            "job": receipt.job,
            "model": "digits:1",
            "deleting": False,
        }

    def test_is_told_in_pages(self, client: Client, trained: World) -> None:
        first = client.get_json("/api/experiments?limit=1")
        second = client.get_json(f"/api/experiments?limit=1&after={first['next']}")

        assert first["next"] is not None
        assert [item["folder"] for item in (*first["items"], *second["items"])] == ["digits", "Größen"]
        assert second["next"] is None

    def test_is_empty_where_nothing_was_dropped(self, client: Client) -> None:
        assert client.get_json("/api/experiments") == {"items": [], "next": None}

    def test_leaves_out_what_the_caller_may_not_see(self, trained: World) -> None:
        client = keyed(trained, Role.DATA, ("gr*",))

        assert [item["folder"] for item in client.get_json("/api/experiments?limit=1")["items"]] == ["Größen"]


class TestDelete:
    def test_dry_run_tells_and_deletes_nothing(self, client: Client, trained: World) -> None:
        before = set(trained.blobs.stored)
        told = delete(client, "digits?dry_run=true", HTTPStatus.OK)

        assert set(trained.blobs.stored) == before
        assert told["state"] == "planned"
        assert told["deletes"]["receipts"] == 1
        assert told["deletes"]["snapshot_files"] == 3
        assert told["deletes"]["models"] == []
        assert [(one["version"], one["why"]) for one in told["keeps"]] == [("1", "It is the model's champion.")]
        assert told["leaves"] == [
            {"container": "data", "files": 1, "size": 6},
            {"container": "scripts", "files": 1, "size": 17},
        ]

    def test_is_accepted_and_done_later(self, client: Client, trained: World) -> None:
        told = delete(client, "Größen", HTTPStatus.ACCEPTED)
        assert told["state"] == "deleting"
        assert [item["deleting"] for item in client.get_json("/api/experiments")["items"]] == [False, True]
        trained.clock.advance(700)
        trained.reconcile()

        assert [item["folder"] for item in client.get_json("/api/experiments")["items"]] == ["digits"]
        told = delete(client, "Größen", HTTPStatus.OK)
        assert (told["state"], told["deletes"]["receipts"]) == ("deleted", 1)
        assert trained.blobs.get(*told["audit"].split("/", 1)) is not None

    def test_jobs_that_go_on_are_in_the_way(self, client: Client, world: World) -> None:
        world.drop_digits()
        world.rest()
        told = delete(client, "digits?dry_run=true", HTTPStatus.OK)
        refused = delete(client, "digits", HTTPStatus.CONFLICT)

        assert told["jobs"] == [world.receipt().job]
        assert "force=true" in refused["detail"]
        delete(client, "digits?force=true", HTTPStatus.ACCEPTED)
        world.rest()
        assert not world.live_jobs()

    @pytest.mark.parametrize("name", ["other", "_root", "..", ".keys"])
    def test_what_is_none_is_not_found(self, client: Client, trained: World, name: str) -> None:
        delete(client, name, HTTPStatus.NOT_FOUND)

    def test_takes_the_role_code(self, trained: World) -> None:
        delete(keyed(trained, Role.DATA, ("*",)), "digits", HTTPStatus.FORBIDDEN)

    def test_of_what_the_caller_may_not_see_is_not_found(self, trained: World) -> None:
        delete(keyed(trained, Role.CODE, ("other-*",)), "digits", HTTPStatus.NOT_FOUND)
        assert trained.blobs.names_in(naming.RECEIPTS, ".deleting/") == []

    def test_a_job_cannot_be_started_meanwhile(self, client: Client, trained: World) -> None:
        delete(client, "digits", HTTPStatus.ACCEPTED)
        answer = client.post("/api/jobs?force=true", json={"experiment_name": "digits"})

        assert answer.status_code == HTTPStatus.CONFLICT
        assert "being deleted" in answer.json()["detail"]
