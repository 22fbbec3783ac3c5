"""Code whose approval was revoked, or that ran before approvals were required."""

from http import HTTPStatus

import pytest

from function_app.domain.receipt import Status
from function_app.errors import Refused, TrainingServiceUnavailable
from function_app.operations.service import Kedja
from function_app.ports.training_service import JobStatus
from function_app.settings import Settings
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World, assembled
from tests.unit.store.approvals.waiting import approved, digest_of, pending, revoke, waiting


def test_revoked_code_is_neither_submitted_nor_repeated(world: World, client: Client) -> None:
    digest = digest_of(waiting(world))
    world.kedja.approval_service.approve(digest, by="ada", note=None)
    world.rest()
    name = world.run_job(exit_code=1)
    assert client.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.NO_CONTENT
    assert client.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.NOT_FOUND
    with pytest.raises(Refused, match=f"is not approved: {digest}"):
        world.kedja.job_commands.retry(name)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"other digits")
    world.rest()
    assert world.receipts()[-1].status is Status.WAITING


def refused_in_the_queue() -> World:
    """Return a world in which a drop was queued, and its code not approved any more when its turn came."""
    world = World.make(approvals="required", max_jobs=1)
    world.drop("data/first/digits.npz", b"digits")
    world.rest()
    approved(world)
    world.rest()
    assert world.receipt().status is Status.QUEUED
    revoke(world)
    world.run_job()
    return world


def test_revoked_code_that_was_queued_is_not_submitted() -> None:
    world = refused_in_the_queue()
    receipt = world.receipt()
    assert (receipt.status, receipt.reason) == (
        Status.REJECTED,
        f"The code of {receipt.name} is not approved: {digest_of(receipt)}.",
    )
    assert receipt.what_to_do == "Have it approved (POST /api/approvals), then drop the files again."
    assert receipt.job not in world.training.jobs
    assert world.publisher.types()[-1] == "Kedja.DropRejected"
    assert (world.kedja.submitter.job_queue.slots.running(), world.opened()) == ({}, [])


def test_what_was_refused_for_want_of_an_approval_goes_on_as_it_says() -> None:
    world = refused_in_the_queue()
    world.kedja.approval_service.approve(digest_of(world.receipt()), by="ada", note=None)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    assert (world.receipt().status, len(world.receipt().attempts)) == (Status.SUBMITTED, 2)


def test_revoked_code_that_the_training_service_did_not_take_yet_is_not_submitted(world: World) -> None:
    approved(world)

    def fail() -> None:
        raise TrainingServiceUnavailable("The connection was cut.")

    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", fail))
    world.go_on(1)
    assert world.receipt().status is Status.SUBMITTING
    revoke(world)
    world.rest()
    assert (world.receipt().status, world.training.jobs) == (Status.REJECTED, {})


def test_revoked_code_whose_job_is_there_goes_on_though_its_answer_was_lost(world: World) -> None:
    approved(world)

    def lose() -> None:
        raise TrainingServiceUnavailable("The connection was cut.")

    world.tells_of_runs = False
    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", lose, after=True))
    world.go_on(1)
    assert world.receipt().status is Status.SUBMITTING
    revoke(world)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_revoked_code_goes_on_after_a_preemption(world: World) -> None:
    approved(world)
    world.rest()
    revoke(world)
    name = world.live_jobs()[0].name
    world.training.move(name, JobStatus.RUNNING)
    world.training.move(name, JobStatus.FAILED, error="The node was preempted.")
    world.rest()
    assert (world.receipt().status, len(world.receipt().attempts)) == (Status.SUBMITTED, 2)


def test_revoked_code_that_failed_and_is_dropped_again_stays_noted_until_it_is_approved(world: World) -> None:
    approved(world)
    world.rest()
    world.run_job(exit_code=1)
    revoke(world)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    world.clock.advance(3600)
    world.reconcile()
    assert (world.receipt().status, len(pending(world))) == (Status.FAILED, 1)
    world.kedja.approval_service.approve(digest_of(world.receipt()), by="ada", note=None)
    world.rest()
    assert pending(world) == []


def required_now(world: World) -> Kedja:
    """Return the service as it is where approvals are asked for from now on."""
    settings = Settings(approvals="required", max_jobs=0, max_jobs_per_experiment=0)
    return assembled(settings, world.blobs, world.queues, world.training, world.publisher, world.clock)


def test_what_was_queued_before_approvals_were_asked_for_is_not_submitted() -> None:
    world = World.make(max_jobs=1)
    world.drop("data/first/digits.npz", b"digits")
    world.rest()
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.QUEUED
    world.kedja = required_now(world)
    world.reconcile()
    assert (world.receipt().status, world.receipt().reason) == (
        Status.REJECTED,
        f"The code of {world.receipt().name} is not approved.",
    )


def test_a_job_from_before_approvals_were_asked_for_is_not_repeated() -> None:
    world = World.make()
    world.drop_digits()
    world.rest()
    name = world.run_job(exit_code=1)
    world.kedja = required_now(world)
    with pytest.raises(Refused, match="drop it again to learn its digest"):
        world.kedja.job_commands.retry(name)
