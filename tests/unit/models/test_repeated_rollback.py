"""A rollback or promotion that is sent twice is done once, even if its first answer and all that was kept is lost."""

import contextlib
import itertools
from collections.abc import Callable
from http import HTTPStatus

import httpx
import pytest

from function_app.domain import naming
from function_app.domain.attempt import REMEMBERED
from function_app.errors import PreconditionFailed, StorageUnavailable
from function_app.http.api import create_api
from function_app.models.champion import Champion
from tests.unit.api import LOCAL
from tests.unit.crash_ports import Fate, doom
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import Killed, World

KEY = {"Idempotency-Key": '"rollback-of-3"'}
OTHER_KEY = {"Idempotency-Key": '"rollback-of-2"'}


@pytest.fixture
def trained(world: World) -> World:
    return with_three_champions(world)


def with_three_champions(world: World) -> World:
    """Train three versions of the model digits, each the champion when it is registered."""
    for number in range(3):
        world.clock.advance(60)
        world.drop("scripts/digits/train.py", b"print('trained')\n")
        world.drop("data/digits/digits.npz", str(number).encode())
        world.rest()
        world.run_job(metrics={"accuracy": 0.9})
    assert champion(world).version == "3"
    return world


def champion(world: World) -> Champion:
    found = world.kedja.champions.find("digits")
    assert found is not None
    return found


def api(world: World) -> Client:
    return Client(create_api(lambda: world.kedja, LOCAL))


def roll_back(world: World, headers: dict[str, str] | None = None) -> httpx.Response:
    return api(world).post("/api/models/digits/champion/rollback", headers=headers or {})


def promote(world: World, version: str, headers: dict[str, str] | None = None) -> httpx.Response:
    path = "/api/models/digits/champion"
    return api(world).request("PUT", path, json={"version": version}, headers=headers or {})


def lose(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def unlucky(world: World, error: Exception) -> None:
    """Have the answer to the next write of the champion be lost."""
    world.kedja = host(
        world, blobs=lambda port: Meanwhile(port, "replace", lose(error), about="champion.json", after=True)
    )


def test_a_repeat_after_an_answer_that_was_lost_rolls_back_once(trained: World) -> None:
    """The command sends a request again that is answered with 503."""
    unlucky(trained, StorageUnavailable("The connection was cut."))
    assert roll_back(trained, KEY).status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert champion(trained).version == "2"

    again = roll_back(trained, KEY)

    assert (again.status_code, again.json()["version"]) == (HTTPStatus.OK, "2")
    assert [one.version for one in champion(trained).history] == ["1", "2", "3"]
    assert roll_back(trained, OTHER_KEY).json()["version"] == "1"


def test_a_repeat_after_a_kill_at_any_call_rolls_back_once() -> None:
    for number in itertools.count(1):
        world, fate = with_three_champions(World.make()), Fate(at=number)
        sound = world.kedja
        doom(world, fate)
        with contextlib.suppress(Killed):
            roll_back(world, KEY)
        world.kedja = sound
        world.clock.advance(600)  # until the key of what was killed may be taken again

        assert roll_back(world, KEY).json()["version"] == "2", f"killed after call {number}"
        if not fate.dead:
            assert number > 5, "The service did not run over the ports that kill it."
            return


def test_a_write_whose_own_repeat_finds_it_done_is_no_conflict(trained: World) -> None:
    """The client of storage sends a write again whose answer it did not get, and then learns of another ETag."""
    unlucky(trained, PreconditionFailed("The condition is not met."))
    assert roll_back(trained).json()["version"] == "2"


def test_a_repeat_changes_nothing_where_somebody_has_chosen_another_since(trained: World) -> None:
    unlucky(trained, StorageUnavailable("The connection was cut."))
    roll_back(trained, KEY)
    promote(trained, "3")

    assert roll_back(trained, KEY).json()["version"] == "3"


def test_without_a_key_each_is_one_more(trained: World) -> None:
    assert [roll_back(trained).json()["version"] for _ in range(2)] == ["2", "1"]


def test_a_key_that_is_forgotten_may_be_used_for_another(trained: World) -> None:
    assert roll_back(trained, KEY).json()["version"] == "2"
    trained.clock.advance(REMEMBERED.total_seconds())

    assert roll_back(trained, KEY).json()["version"] == "1"


def test_a_promotion_whose_answer_was_lost_does_not_undo_a_later_one(trained: World) -> None:
    def another() -> None:
        assert promote_by(trained, "2") == "2"
        raise PreconditionFailed("The condition is not met.")

    trained.kedja, sound = (
        host(trained, blobs=lambda port: Meanwhile(port, "replace", another, about="champion.json", after=True)),
        trained.kedja,
    )

    def promote_by(world: World, version: str) -> str:
        client = Client(create_api(lambda: sound, LOCAL))
        answer = client.request("PUT", "/api/models/digits/champion", json={"version": version})
        return str(answer.json()["version"])

    assert promote(trained, "1").json()["version"] == "2"
    assert [one.version for one in champion(trained).history] == ["1", "2", "3", "1"]


def test_a_promotion_that_is_repeated_with_its_key_does_not_undo_a_later_one(trained: World) -> None:
    promote(trained, "1", KEY)
    promote(trained, "2")
    assert promote(trained, "1", KEY).json()["version"] == "2"
    assert promote(trained, "3", KEY).json()["version"] == "3"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_a_promotion_with_what_is_no_key_is_refused(trained: World, key: str) -> None:
    assert promote(trained, "1", {"Idempotency-Key": key}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert champion(trained).version == "3"


def test_what_identifies_a_request_is_not_told(trained: World) -> None:
    answer = roll_back(trained, KEY)
    stored = champion(trained).request
    assert stored is not None
    assert stored not in answer.text
    promote(trained, "1")
    assert stored not in api(trained).get("/api/models/digits").text
    assert stored.encode() in trained.blobs.read(naming.MODELS, "digits/champion.json").data
