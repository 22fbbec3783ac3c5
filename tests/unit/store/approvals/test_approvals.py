"""Approvals: code waits until somebody approves it, and nobody can pass other code off as approved."""

from http import HTTPStatus
from typing import Any

import pytest

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Status
from function_app.http.api_keys import ApiKeys
from function_app.http.callers import Role
from function_app.store import approvals as approvals_module
from tests.unit.api import KEYS, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World
from tests.unit.store.approvals.waiting import digest_of, waiting


def test_code_that_nobody_approved_waits_and_says_what_to_do(world: World) -> None:
    receipt = waiting(world)
    digest = digest_of(receipt)
    assert (receipt.status, receipt.reason) == (Status.WAITING, f"approval of {digest}")
    assert receipt.what_to_do is not None
    assert f'POST /api/approvals {{"digest": "{digest}"}}' in receipt.what_to_do
    assert world.training.jobs == {}


def test_approving_sets_it_going_at_once(world: World, client: Client) -> None:
    receipt = waiting(world)
    digest = digest_of(receipt)
    answer = client.post("/api/approvals", json={"digest": digest, "note": "looks fine"})
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    assert (answer.json()["by"], answer.json()["note"]) == ("local", "looks fine")
    assert [one["drop"] for one in answer.json()["released"]] == [receipt.drop]
    world.rest(patience=1)
    assert world.receipt().status is Status.SUBMITTED
    listed = client.get_json("/api/approvals")
    assert (listed["required"], [one["digest"] for one in listed["items"]], listed["waiting"]) == (True, [digest], [])
    assert world.blobs.names_in(naming.RECEIPTS, ".approvals/") == [f".approvals/{digest}.json"]


def test_approvals_come_in_pages_and_what_waits_comes_first(world: World, client: Client) -> None:
    approvals = world.kedja.approval_service.approvals
    pending = [
        approvals_module.PendingApproval(digest=digit * 64, ref=DropRef(experiment, "d" * 64))
        for digit in "56"
        for experiment in ("a", "b")
    ]
    for one in pending:
        assert not approvals.check_or_note(one)
    for digit in "0123":
        approvals.approve(digit * 64, by="ada", note=None)
    world.blobs.upload(naming.RECEIPTS, f".approvals/{'4' * 64}.json", b"{")
    shapes, seen, after = [], [], ""
    while after is not None:
        world.blobs.calls.clear()
        page = client.get_json(f"/api/approvals?limit=3{after and f'&after={after}'}")
        shapes.append((len(page["waiting"]), len(page["items"])))
        seen += [(one["digest"], one["experiment"]) for one in page["waiting"]]
        seen += [(one["digest"], one["by"]) for one in page["items"]]
        assert len([call for call in world.blobs.calls if call.operation == "read"]) <= 3
        after = page["next"]
    assert shapes == [(3, 0), (1, 2), (0, 2)]
    assert seen == [*((one.digest, one.ref.experiment) for one in pending), *((digit * 64, "ada") for digit in "0123")]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=x"])
def test_a_page_that_is_none_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/approvals?{query}").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_request_by_http_waits_likewise_and_runs_what_it_asked_for(world: World, client: Client) -> None:
    world.kedja.approval_service.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    wanted = {"experiment_name": "digits", "command": "python train.py --mine"}
    answer = client.post("/api/jobs", json=wanted)
    assert (answer.status_code, answer.json()["status"]) == (HTTPStatus.ACCEPTED, "waiting")
    digest = answer.json()["reason"].removeprefix("approval of ")
    assert client.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.CREATED
    world.rest()
    (job,) = world.live_jobs()
    assert "--shell 'python train.py --mine'" in world.training.requests[job.name].document["command"]
    assert world.receipts()[-1].trigger == "http: local"


def test_only_whoever_may_run_everything_approves(world: World) -> None:
    digest = digest_of(waiting(world))
    for role, experiments in ((Role.DATA, ("*",)), (Role.CODE, ("digits",))):
        text, _ = ApiKeys(blobs=world.blobs).create("robot", role, experiments=experiments)
        robot = Client(api_over(lambda: world.kedja, KEYS), {"X-Kedja-Key": text})
        assert robot.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.FORBIDDEN
        assert robot.get("/api/approvals").status_code == HTTPStatus.FORBIDDEN
        assert robot.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.FORBIDDEN
    assert world.blobs.names_in(naming.RECEIPTS, ".approvals/") == []


@pytest.mark.parametrize("digest", ["", "x" * 64, "0" * 63, "../" + "0" * 61, None])
def test_what_is_no_digest_is_refused(client: Client, digest: Any) -> None:  # noqa: ANN401 - JSON
    assert client.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_approving_twice_keeps_who_was_first(world: World) -> None:
    digest = digest_of(waiting(world))
    first, _ = world.kedja.approval_service.approve(digest, by="ada", note=None)
    world.clock.advance(60)
    again, _ = world.kedja.approval_service.approve(digest, by="bob", note=None)
    assert (again.by, again.at) == ("ada", first.at)


def test_an_approval_in_another_ones_place_is_none(world: World) -> None:
    digest = digest_of(waiting(world))
    world.kedja.approval_service.approve("0" * 64, by="ada", note=None)
    other = world.blobs.read(naming.RECEIPTS, f".approvals/{'0' * 64}.json").data
    world.blobs.upload(naming.RECEIPTS, f".approvals/{digest}.json", other)
    assert world.kedja.approval_service.approvals.find(digest) is None
    world.blobs.upload(naming.RECEIPTS, f".approvals/{digest}.json", b"{")
    assert world.kedja.approval_service.approvals.find(digest) is None
