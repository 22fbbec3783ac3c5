from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import NOT_STARTED, Receipt, Status
from function_app.jobs.supersession import Supersession
from function_app.ports.training_service import JobRequest, JobStatus
from tests.unit.sample_receipt import make
from tests.unit.simulation import World


@pytest.fixture
def supersession(world: World) -> Supersession:
    return world.kedja.settler.supersession


def receipt(world: World, letter: str, sequence: int, status: Status, *, opened: bool = True) -> Receipt:
    made = make(status, attempts=0 if status is Status.WAITING else 1)
    made = made.replace(drop=letter * 64, sequence=sequence)
    if made.attempts:
        made = made.with_attempt(job=f"digits-{letter}")
    world.kedja.receipts.create(made)
    if opened:
        world.kedja.receipts.set_open_mark(made.ref)
    return made


def job(world: World, letter: str, status: JobStatus) -> None:
    document = {"experiment_name": "digits", "tags": {"kedja_receipt": f"digits/{letter * 64}"}}
    world.training.submit(JobRequest(name=f"digits-{letter}", document=document))
    world.training.move(f"digits-{letter}", status)


def status(world: World, letter: str) -> Status:
    return world.kedja.receipts.load(DropRef("digits", letter * 64)).status


@pytest.mark.parametrize("before", sorted(NOT_STARTED - {Status.WAITING, Status.QUEUED}))
def test_a_job_that_has_not_started_is_canceled(supersession: Supersession, world: World, before: Status) -> None:
    receipt(world, "a", 1, before)
    job(world, "a", JobStatus.STARTING)
    newer = receipt(world, "b", 2, Status.SUBMITTING)
    assert supersession.promote_to_latest(newer, supersede=True) == newer
    older = world.kedja.receipts.load(DropRef("digits", "a" * 64))
    assert (older.status, older.superseded_by, older.followed_by) == (Status.CANCELING, newer.drop, newer.drop)
    assert world.training.jobs["digits-a"].status is JobStatus.CANCELED


def test_one_that_is_queued_is_over_at_once(supersession: Supersession, world: World) -> None:
    queued = receipt(world, "a", 1, Status.QUEUED)
    world.kedja.submitter.job_queue.slots.enqueue(queued)
    newer = receipt(world, "b", 2, Status.SUBMITTING)
    supersession.promote_to_latest(newer, supersede=True)
    older = world.kedja.receipts.load(DropRef("digits", "a" * 64))
    assert (older.status, older.superseded_by) == (Status.SUPERSEDED, newer.drop)
    assert world.blobs.names_in(naming.RECEIPTS, ".queued/") == []
    assert world.publisher.types() == ["Kedja.JobCanceled"]
    assert world.opened() == [f".open/digits/{newer.drop}"]
    assert ("get", "digits-a") not in world.training.calls


@pytest.mark.parametrize("before", [Status.RUNNING, Status.COMPLETED, *sorted({Status.FAILED, Status.REGISTERED})])
def test_what_has_started_or_ended_is_left_alone(supersession: Supersession, world: World, before: Status) -> None:
    receipt(world, "a", 1, before)
    supersession.promote_to_latest(receipt(world, "b", 2, Status.SUBMITTING), supersede=True)
    assert status(world, "a") is before


def test_a_job_that_runs_though_its_receipt_does_not_say_so_yet_is_left_alone(
    supersession: Supersession, world: World
) -> None:
    receipt(world, "a", 1, Status.STARTING)
    job(world, "a", JobStatus.RUNNING)
    supersession.promote_to_latest(receipt(world, "b", 2, Status.SUBMITTING), supersede=True)
    assert (status(world, "a"), world.training.jobs["digits-a"].status) == (Status.STARTING, JobStatus.RUNNING)


def test_every_older_one_is_superseded_and_no_newer_one(supersession: Supersession, world: World) -> None:
    for letter, sequence in (("a", 1), ("c", 3), ("d", 2)):
        receipt(world, letter, sequence, Status.SUBMITTED)
        job(world, letter, JobStatus.STARTING)
    supersession.promote_to_latest(receipt(world, "b", 2, Status.SUBMITTING), supersede=True)
    assert [status(world, letter) for letter in "acd"] == [Status.CANCELING, Status.SUBMITTED, Status.SUBMITTED]


def test_of_two_in_one_second_one_is_the_newer(supersession: Supersession, world: World) -> None:
    first, second = receipt(world, "a", 1, Status.SUBMITTING), receipt(world, "b", 1, Status.SUBMITTING)
    supersession.promote_to_latest(second, supersede=True)
    supersession.promote_to_latest(first, supersede=True)
    assert (status(world, "a"), status(world, "b")) == (Status.CANCELING, Status.SUBMITTING)


def test_where_the_newer_one_was_faster_the_older_one_is_superseded(supersession: Supersession, world: World) -> None:
    older = receipt(world, "a", 1, Status.SUBMITTING)
    newer = receipt(world, "b", 2, Status.SUBMITTED)
    supersession.promote_to_latest(newer, supersede=True)
    assert supersession.promote_to_latest(older, supersede=True).status is Status.CANCELING
    latest = world.kedja.receipts.latest("digits")
    assert latest is not None
    assert latest.drop == newer.drop


@pytest.mark.parametrize("newer", [Status.WAITING, Status.SUBMITTED])
def test_neither_is_where_both_are_wanted(supersession: Supersession, world: World, newer: Status) -> None:
    older = receipt(world, "a", 1, Status.SUBMITTING)
    supersession.promote_to_latest(receipt(world, "b", 2, newer), supersede=False)
    assert supersession.promote_to_latest(older, supersede=newer is Status.WAITING).status is Status.SUBMITTING


def test_one_that_waits_is_over(supersession: Supersession, world: World) -> None:
    receipt(world, "a", 1, Status.WAITING, opened=False)
    world.kedja.receipts.advance(world.kedja.receipts.load(DropRef("digits", "a" * 64)))
    supersession.promote_to_latest(receipt(world, "b", 2, Status.WAITING, opened=False), supersede=False)
    assert status(world, "a") is Status.SUPERSEDED
    (name,) = [name for name in world.blobs.names_in(naming.RECEIPTS, ".by-time/") if name.endswith("a" * 64)]
    assert world.blobs.stored[naming.RECEIPTS, name].item.metadata["status"] == "superseded"


def test_repeated_it_changes_nothing(supersession: Supersession, world: World) -> None:
    receipt(world, "a", 1, Status.SUBMITTED)
    newer = receipt(world, "b", 2, Status.SUBMITTING)
    supersession.promote_to_latest(newer, supersede=True)
    before = [world.kedja.receipts.load(DropRef("digits", letter * 64)) for letter in "ab"]
    supersession.promote_to_latest(newer, supersede=True)
    assert [world.kedja.receipts.load(DropRef("digits", letter * 64)) for letter in "ab"] == before


@pytest.mark.parametrize("newer", [Status.WAITING, Status.SUBMITTED])
def test_an_older_drop_that_is_retried_takes_no_place_of_a_newer_one(
    supersession: Supersession, world: World, newer: Status
) -> None:
    dropped_later = receipt(world, "b", 2, newer)
    later = dropped_later.newest_upload + timedelta(seconds=60)
    world.kedja.receipts.change(dropped_later, lambda now: now.replace(newest_upload=later))
    supersession.promote_to_latest(world.kedja.receipts.load(DropRef("digits", "b" * 64)), supersede=True)
    if newer is Status.SUBMITTED:
        job(world, "b", JobStatus.STARTING)
    retried = receipt(world, "a", 3, Status.SUBMITTING)
    assert supersession.promote_to_latest(retried, supersede=True) == retried
    assert status(world, "b") is newer
