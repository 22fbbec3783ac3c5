"""However much data others have, a limited caller's request reads little of it and reveals nothing about it."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.errors import StorageError, StorageUnavailable
from function_app.http.callers import Role
from function_app.http.paging.models import MOST_ASKED
from function_app.http.paging.sealing import KEY, NotSealed, Seal
from tests.unit.api import limited
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import World

PAGES = 3


def pages(client: Client, address: str) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list."""
    after = None
    while True:
        page = client.get_json(address, params={"limit": 10, **({"after": after} if after else {})})
        yield page
        after = page["next"]
        if after is None:
            return


def counted(world: World, operation: str) -> int:
    """Return the number of such calls to storage since the last count."""
    number = sum(call.operation == operation for call in world.blobs.calls)
    world.blobs.calls.clear()
    return number


def index(world: World, experiment: str, number: int, *, age: float) -> None:
    """Upload `number` receipts and their index entries directly, which is faster than through the service."""
    for count in range(number):
        at = world.clock() - timedelta(seconds=age + count)
        metadata = {"status": "failed", "received": at.isoformat(), "updated": at.isoformat(), "job": "j"}
        for name in (
            naming.by_time_blob(at, DropRef(experiment, f"{count:064x}")),
            naming.receipt_blob(DropRef(experiment, f"{count:064x}")),
        ):
            world.blobs.upload(naming.RECEIPTS, name, b"", metadata=metadata)


def hides(token: str | None, secret: bytes) -> bool:
    """Return whether a token does not contain a secret, even if it is decoded once more."""
    if token is None:
        return True
    text = token.encode()
    return secret not in text and secret not in base64.urlsafe_b64decode(text + b"==")


class TestDrops:
    @pytest.mark.parametrize("address", ["/api/drops", "/api/jobs"])
    def test_of_others_are_passed_over_part_by_part(self, world: World, address: str) -> None:
        index(world, "secret", 12_000, age=0)
        index(world, "mine", 3, age=20_000)
        client = limited(world, Role.DATA, "mine", "my-*")
        seen, calls = [], []
        for page in pages(client, address):
            seen += [item["experiment"] for item in page["items"]]
            calls.append(counted(world, "page"))
            assert hides(page["next"], b"secret")
        assert seen == ["mine"] * 3
        assert len(calls) == 2
        assert max(calls) == PAGES

    def test_of_the_only_experiment_of_a_key_are_listed_by_themselves(self, world: World) -> None:
        index(world, "secret", 12_000, age=0)
        index(world, "mine", 3, age=20_000)
        client = limited(world, Role.DATA, "mine")
        world.blobs.calls.clear()
        (page,) = pages(client, "/api/drops")
        assert len(page["items"]) == 3
        assert counted(world, "page") == 1

    def test_of_one_experiment_of_very_many_are_read_part_by_part(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("function_app.http.paging.receipts.MAX_LIST_PAGE", 20)
        monkeypatch.setattr("function_app.http.paging.receipts._READS", (5, 20, 20))
        index(world, "secret", 200, age=0)
        index(world, "mine", 30, age=20_000)
        client = limited(world, Role.DATA, "mine")
        world.blobs.calls.clear()
        seen = 0
        for page in pages(client, "/api/drops"):
            seen += len(page["items"])
            assert counted(world, "page") <= PAGES
            assert hides(page["next"], b"secret")
        assert seen == 30


class TestModels:
    @pytest.fixture
    def many(self, world: World) -> World:
        """Return a world in which others registered 2,000 models, and `mine` two, with names of two kinds."""
        for folder, job_yaml in {"mine": b"", "my-other": b"kedja: {register: {model: zeta}}\n"}.items():
            world.drop(f"data/{folder}/digits.npz", folder.encode())
            if job_yaml:
                world.drop(f"scripts/{folder}/job.yaml", job_yaml)
            world.rest()
            world.run_job()
        (version, *_) = world.training.versions
        world.training.versions += [
            evolve(version, model=f"secret-{each:04}", tags={**version.tags, "kedja_receipt": f"secret/{each:064}"})
            for each in range(2000)
        ]
        world.training.calls.clear()
        return world

    @pytest.mark.parametrize(("experiment", "model"), [("mine", "mine"), ("my-other", "zeta")])
    def test_of_a_key_for_one_experiment_are_asked_for_alone(self, many: World, experiment: str, model: str) -> None:
        (page,) = pages(limited(many, Role.DATA, experiment), "/api/models")
        assert [item["model"] for item in page["items"]] == [model]
        assert sorted(many.training.calls) == sorted({("models", experiment), ("models", model)})

    def test_of_a_drop_that_is_tried_again_stay_on_its_list(self, many: World) -> None:
        (receipt,) = many.receipts("my-other")
        many.kedja.job_commands.retry(str(receipt.job))
        (page,) = pages(limited(many, Role.DATA, "my-other"), "/api/models")
        assert [item["model"] for item in page["items"]] == ["zeta"]

    @pytest.mark.parametrize(
        ("patterns", "expected"), [(("my-*", "mine"), ["mine", "zeta"]), (("nobody-*",), []), (("my-*",), ["zeta"])]
    )
    def test_of_others_are_passed_over_part_by_part(
        self, many: World, patterns: tuple[str, ...], expected: list[str]
    ) -> None:
        seen, parts = [], 0
        for page in pages(limited(many, Role.DATA, *patterns), "/api/models"):
            seen += [item["model"] for item in page["items"]]
            assert len(many.training.calls) <= MOST_ASKED + 1
            assert hides(page["next"], b"secret")
            many.training.calls.clear()
            parts += 1
        assert seen == expected
        assert parts > 2000 / MOST_ASKED


class TestExperiments:
    def test_of_others_are_passed_over_part_by_part(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(20_000):
            world.blobs.upload(naming.RECEIPTS, f"secret-{number:05}/latest.json", b"")
        for folder in ("aa-mine", "zz-mine"):
            world.drop(f"data/{folder}/digits.npz", folder.encode())
        world.rest()
        client, seen = limited(world, Role.DATA, "??-mine"), []
        world.blobs.calls.clear()
        parts = 0
        for page in pages(client, "/api/experiments"):
            seen += [item["experiment"] for item in page["items"]]
            assert counted(world, "folders") <= PAGES
            assert hides(page["next"], b"secret")
            parts += 1
        assert (seen, parts) == (["aa-mine", "zz-mine"], 2)

    def test_of_a_key_for_one_are_listed_without_the_others(self, world: World) -> None:
        world.drop("data/mine/digits.npz")
        world.rest()
        client = limited(world, Role.DATA, "mine")
        world.blobs.calls.clear()
        (page,) = pages(client, "/api/experiments")
        assert [item["experiment"] for item in page["items"]] == ["mine"]
        assert counted(world, "folders") == 0
        (page,) = pages(limited(world, Role.DATA, "nothing"), "/api/experiments")
        assert page["items"] == []


@pytest.mark.parametrize("address", ["/api/drops", "/api/models", "/api/experiments"])
@pytest.mark.parametrize("after", ["x", "WyJ0IiwgIngiXQ==", "gAAAAA=="])
def test_a_token_that_was_not_sealed_here_is_refused(world: World, address: str, after: str) -> None:
    answer = limited(world, Role.DATA, "my-*").get(address, params={"after": after})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageError("InvalidQueryParameterValue"), HTTPStatus.UNPROCESSABLE_ENTITY),
        (StorageUnavailable("ServerBusy"), HTTPStatus.SERVICE_UNAVAILABLE),
    ],
)
@pytest.mark.parametrize(("address", "operation"), [("/api/drops", "page"), ("/api/experiments", "folders")])
def test_a_token_that_storage_refuses_is_the_caller_s_mistake(
    world: World, address: str, operation: str, error: Exception, status: HTTPStatus
) -> None:
    def refuse() -> None:
        raise error

    client = limited(world, Role.DATA)
    world.kedja = host(world, blobs=lambda port: Meanwhile(port, operation, refuse, about="of another account"))
    after = base64.urlsafe_b64encode(b'["of another account", ""]').decode()
    assert client.get(address, params={"after": after}).status_code == status


def test_hosts_that_seal_at_the_same_moment_agree(world: World) -> None:
    other = Seal(world.blobs)
    made: list[str] = []
    first = Seal(Meanwhile(world.blobs, "create", lambda: made.append(other.sealed("theirs")), about=KEY))
    sealed = first.sealed("ours")
    assert (first.opened(made[0]), other.opened(sealed)) == ("theirs", "ours")
    with pytest.raises(NotSealed, match="was not encrypted with"):
        other.opened(sealed[:-4] + "AAA=")
