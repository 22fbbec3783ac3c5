"""What comes in is bounded on every route, and what Kedja and its jobs write sets nothing off."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from fastapi.routing import APIRoute

from function_app.domain import naming
from function_app.http.middleware import BODY_LIMIT
from tests.unit.api import LOCAL, ROUTES, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World, blob_created, run_status_changed

CALLS = [(method, name.split(" ")[1]) for name in sorted(ROUTES) for method in name.split(" ")[0].split("/")]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_body_too_long_is_refused_on_every_route(method: str, path: str, in_pieces: bool) -> None:  # noqa: FBT001
    """Before anything connects, and whoever sends it: nobody has to be known for that."""
    api = api_over(lambda: pytest.fail("Nothing may connect for a body that is too long."), {"KEDJA_AUTH": "keys"})

    async def pieces() -> Any:  # noqa: ANN401 - what httpx takes
        for _ in range(3):
            yield b"x" * (BODY_LIMIT // 2)

    body = pieces() if in_pieces else b"x" * (BODY_LIMIT + 1)
    answer = Client(api).request(method, path.replace("{", "").replace("}", ""), content=body)
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:kedja:problem:too-large"


def test_a_length_that_lies_helps_nobody(world: World) -> None:
    answer = Client(api_over(lambda: world.kedja, LOCAL)).post(
        "/api/events", content=b"x" * (BODY_LIMIT + 1), headers={"content-length": "1"}
    )
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_there_are_routes_with_bodies() -> None:
    assert sum(isinstance(route, APIRoute) and route.body_field is not None for route in ROUTES.values()) >= 4


# The loop guard.


def written_by_a_whole_life(world: World) -> Iterator[str]:
    """Let a drop become a model; yield every blob that Kedja or its job wrote on the way."""
    world.drop_digits()
    world.rest()
    world.training.finish(
        world.live_jobs()[-1].name,
        files={"model.npz": b"w", "data/digits/x.npz": b"x", "scripts/digits/train.py": b"x", "job.yaml": b"{}"},
    )
    world.rest()
    world.reconcile()
    world.rest()
    for container, name in world.blobs.stored:
        if container not in (naming.DATA, naming.SCRIPTS):
            yield f"{container}/{name}"


def test_what_kedja_and_its_jobs_write_raises_no_job(world: World) -> None:
    written = list(written_by_a_whole_life(world))
    assert {path.partition("/")[0] for path in written} == {"azureml", "models", "receipts", "snapshots"}
    before, receipt = len(world.blobs.calls), world.receipt()
    for path in written:
        world.announce(path, times=2)
    world.rest()
    assert world.receipt() == receipt
    assert len(world.training.jobs) == 1
    # A storage event of another container costs nothing at all.
    assert world.blobs.calls[before:] == []


@pytest.mark.parametrize(
    "container", [*sorted({*naming.CONTAINERS} - {naming.DATA, naming.SCRIPTS}), "azureml", "Data", "data2"]
)
@pytest.mark.parametrize("tail", ["data/digits/train.py", "../data/digits/x.npz", "scripts%2Fdigits%2Ftrain.py"])
def test_a_name_that_looks_like_a_drop_is_none(world: World, container: str, tail: str) -> None:
    world.drop_digits()
    world.rest()
    before = len(world.blobs.calls)
    world.announce(f"{container}/{tail}")
    world.rest()
    assert len(world.training.jobs) == 1
    assert world.blobs.calls[before:] == []


def test_jobs_of_others_raise_nothing(world: World) -> None:
    world.queues.send(naming.RUN_EVENTS, run_status_changed("somebody-elses-run", "Completed"))
    world.rest()
    assert (world.training.versions, world.receipts(), world.failures) == ([], [], [])


def test_an_event_of_another_account_is_none(world: World) -> None:
    world.drop_digits()
    world.queues.messages.clear()
    for url in ("https://evil.blob.core.windows.net", "https://kedja.blob.core.windows.net.evil.test", "http://kedja"):
        world.queues.send(naming.BLOB_EVENTS, blob_created("data/digits/digits.npz", account_url=url))
    world.rest()
    assert (world.receipts(), world.failures) == ([], [])
