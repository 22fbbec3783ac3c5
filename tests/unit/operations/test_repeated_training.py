"""A forced training or a retry that is sent twice trains once, even if its first answer, and what was kept, is lost."""

import contextlib
import itertools
from collections.abc import Callable
from http import HTTPStatus

import httpx
import pytest

from function_app.domain.attempt import REMEMBERED
from function_app.domain.receipt import Status
from function_app.errors import PreconditionFailed, StorageUnavailable
from function_app.http.api import create_api
from function_app.timing import Timing
from tests.unit.api import LOCAL
from tests.unit.crash_ports import Fate, doom
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import Killed, World

RECLAIMED = Timing().max_request_runtime + 60
"""Seconds until the key of a request that was killed may be taken again."""
Ask = Callable[[World, str], httpx.Response]


def api(world: World) -> Client:
    return Client(create_api(lambda: world.kedja, LOCAL))


def force(world: World, key: str = '"once more"') -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api(world).post("/api/jobs?force=true", json={"experiment_name": "digits"}, headers=headers)


def retry(world: World, key: str = '"once more"') -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api(world).post(f"/api/jobs/{first_job(world)}/retry", headers=headers)


def first_job(world: World) -> str:
    return world.receipt().attempts[0].job


def trained(*, exit_code: int = 0) -> World:
    """Return a world with a drop whose job has ended."""
    world = World.make()
    world.drop_digits()
    world.rest()
    world.run_job(exit_code=exit_code)
    return world


def go_on(world: World) -> None:
    """Let everything come to its end that was begun, and time pass until the key may be taken again."""
    world.clock.advance(RECLAIMED)
    world.reconcile()
    world.rest()
    if world.live_jobs():
        world.run_job()


@pytest.mark.parametrize("ask", [force, retry])
def test_a_repeat_after_a_kill_at_any_call_makes_one_attempt(ask: Ask) -> None:
    for number in itertools.count(1):
        world, fate = trained(), Fate(at=number)
        sound = world.kedja
        doom(world, fate)
        with contextlib.suppress(Killed):
            ask(world, '"once more"')
        world.kedja = sound
        go_on(world)

        answer = ask(world, '"once more"')
        assert answer.status_code == HTTPStatus.ACCEPTED, answer.text
        go_on(world)
        receipt = world.receipt()
        assert (len(receipt.attempts), receipt.status) == (2, Status.REGISTERED), f"killed after call {number}"
        assert answer.json()["name"] == receipt.job
        if not fate.dead:
            assert number > 20, "The service did not run over the ports that kill it."
            return


def test_a_forced_first_training_is_not_repeated_either() -> None:
    """It needs no force; but a repeat that comes after its end would."""
    for number in itertools.count(1):
        world, fate = World.make(), Fate(at=number)
        world.drop("data/digits/digits.npz", b"digits", times=0)
        sound = world.kedja
        doom(world, fate)
        with contextlib.suppress(Killed):
            force(world)
        world.kedja = sound
        if not world.receipts():  # or the walk would find the drop, and train what nobody forced
            world.clock.advance(RECLAIMED)
        else:
            go_on(world)
        force(world)
        go_on(world)

        assert len(world.receipt().attempts) == 1, f"killed after call {number}"
        if not fate.dead:
            return


def losing(world: World, error: Exception) -> None:
    """Have the answer to the write that claims the attempt be lost."""

    def fail() -> None:
        raise error

    about = f"'digits/{world.receipt().drop}.json'"
    world.kedja = host(world, blobs=lambda port: Meanwhile(port, "replace", fail, about=about, after=True))


@pytest.mark.parametrize("ask", [force, retry])
def test_a_repeat_after_an_answer_that_was_lost_makes_one_attempt(ask: Ask) -> None:
    """The command sends a request again that is answered with 503."""
    world = trained()
    losing(world, StorageUnavailable("The connection was cut."))
    assert ask(world, '"once more"').status_code == HTTPStatus.SERVICE_UNAVAILABLE
    go_on(world)
    assert ask(world, '"once more"').status_code == HTTPStatus.ACCEPTED
    assert len(world.receipt().attempts) == 2
    go_on(world)
    ask(world, '"and again"')
    assert len(world.receipt().attempts) == 3


@pytest.mark.parametrize("key", ["", '"once more"'])
@pytest.mark.parametrize("ask", [force, retry])
def test_a_write_whose_own_repeat_finds_it_done_is_no_conflict(ask: Ask, key: str) -> None:
    """The client of storage sends a write again whose answer it did not get, and then learns of another ETag."""
    world = trained()
    losing(world, PreconditionFailed("The condition is not met."))
    assert ask(world, key).status_code == HTTPStatus.ACCEPTED
    assert len(world.receipt().attempts) == 2


@pytest.mark.parametrize("ask", [force, retry])
def test_without_a_key_each_is_one_more(ask: Ask) -> None:
    world = trained()
    for number in (2, 3):
        ask(world, "")
        go_on(world)
        assert len(world.receipt().attempts) == number


@pytest.mark.parametrize("ask", [force, retry])
def test_a_key_that_is_forgotten_may_be_used_for_another(ask: Ask) -> None:
    world = trained()
    ask(world, '"once more"')
    go_on(world)
    world.clock.advance(REMEMBERED.total_seconds())
    ask(world, '"once more"')
    assert len(world.receipt().attempts) == 3


def test_what_identifies_a_request_is_not_told() -> None:
    world = trained()
    answer = force(world)
    request = world.receipt().attempts[-1].request
    assert request is not None
    texts = [answer.text, *(api(world).get(path).text for path in ("/api/drops/digits/latest", "/api/jobs"))]
    texts += [api(world).get(f"/api/jobs/{world.receipt().job}").text]
    assert not any(request in text for text in texts)
