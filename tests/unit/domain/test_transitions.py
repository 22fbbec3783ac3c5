"""Each move that TRANSITIONS allows is one that some way of a drop makes: the table has no line that nobody walks."""

import itertools
from collections.abc import Callable
from typing import cast

import pytest

from function_app.domain.receipt import TRANSITIONS, Status
from function_app.ports.training_service import JobStatus, TrainingService
from function_app.settings import Settings
from tests.unit.interleaving import Meanwhile, host
from tests.unit.invariants import all_receipts
from tests.unit.simulation import SCRIPT, World, assembled

_S = Status
Move = tuple[Status, Status]
OTHER_SCRIPT = b"print('other')\n"
SPECIAL = b"compute: special\n"


def moves(world: World) -> set[Move]:
    """Return the moves that the histories of all receipts tell of."""
    found: set[Move] = set()
    for receipt in all_receipts(world):
        statuses = [change.status for change in receipt.history]
        found |= {(before, after) for before, after in itertools.pairwise(statuses) if before is not after}
    return found


def digits(status: Status = Status.SUBMITTED) -> World:
    """Return a world whose one drop is submitted, starting or running."""
    world = World.make()
    world.drop_digits()
    world.rest()
    if status is Status.STARTING:
        world.reconcile()
    elif status is Status.RUNNING:
        world.training.move(job(world), JobStatus.RUNNING)
        world.rest()
    assert world.receipt().status is status
    return world


def job(world: World) -> str:
    """Return the job of the latest receipt."""
    return str(world.receipts()[-1].job)


def drop_other(world: World) -> None:
    """Drop other code for digits, a minute later."""
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", OTHER_SCRIPT)
    world.rest()


def drop_again(world: World) -> None:
    """Drop the first code for digits again, a minute later."""
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()


# How a job goes on, told by an event, from each of the statuses of one that has begun.


def starts(world: World) -> None:
    world.training.move(job(world), JobStatus.STARTING)
    world.rest()


def runs(world: World) -> None:
    world.training.move(job(world), JobStatus.RUNNING)
    world.rest()


def completes(world: World) -> None:
    world.training.finish(job(world))
    world.rest()


def fails(world: World) -> None:
    world.training.finish(job(world), exit_code=1)
    world.rest()


def is_canceled_there(world: World) -> None:
    world.training.move(job(world), JobStatus.CANCELED)
    world.rest()


def is_canceled(world: World) -> None:
    world.kedja.jobs.cancel(job(world))
    world.rest()


def is_killed(world: World) -> None:
    """It has run, whatever the receipt knows of that."""
    world.tells_of_runs = False
    world.training.move(job(world), JobStatus.RUNNING)
    world.tells_of_runs = True
    world.training.move(job(world), JobStatus.FAILED, error="The node was preempted.")
    world.rest()


GOING_ON: dict[Status, Callable[[World], None]] = {
    _S.STARTING: starts,
    _S.RUNNING: runs,
    _S.COMPLETED: completes,
    _S.FAILED: fails,
    _S.CANCELED: is_canceled_there,
    _S.CANCELING: is_canceled,
    _S.SUBMITTING: is_killed,
}


# The other moves, each with a way that makes it.


def approved() -> World:
    world = World.make(approvals="required")
    world.drop_digits()
    world.rest()
    world.kedja.approver.approve(str(world.receipt().received.code_sha256), by="ada", note=None)
    world.rest()
    return world


def service_is_away() -> World:
    world = World.make()
    world.training.unavailable = True
    world.drop_digits()
    world.rest(patience=25 * 3600)
    return world


def script_before_data() -> World:
    world = World.make()
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    return world


def queued() -> World:
    """Return a world where a job runs, and a second drop of the same experiment is queued."""
    world = World.make(max_jobs_per_experiment=1)
    world.drop_digits()
    world.rest()
    runs(world)
    drop_other(world)
    assert world.receipts()[-1].status is Status.QUEUED
    return world


def queued_and_next() -> World:
    world = queued()
    world.run_job(world.receipts()[0].job)
    return world


def queued_by_a_host_that_saw_no_place() -> World:
    """One host submits the job while another one, with the limits of before, still queues it."""
    world = World.make(max_jobs=1)
    world.drop("data/other/digits.npz", b"digits")
    world.rest()
    limited = world.kedja

    def queue() -> None:
        assert limited.submitter.submit(world.receipt()).status is Status.QUEUED

    port = cast("TrainingService", Meanwhile(world.training, "submit", queue, after=True))
    world.kedja = assembled(
        Settings(max_jobs=0, max_jobs_per_experiment=0),
        world.blobs,
        world.queues,
        port,
        world.publisher,
        world.clock,
    )
    world.drop_digits()
    world.rest()
    return world


def queued_and_superseded() -> World:
    world = queued()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"print('third')\n")
    world.rest()
    return world


def queued_and_canceled() -> World:
    world = queued()
    is_canceled(world)
    return world


def away_from_the_submission_on() -> World:
    """Return a world whose drop was claimed, and whose training service has been away since then."""
    world = World.make()

    def go_away() -> None:
        world.training.unavailable = True

    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", go_away))
    world.drop_digits()
    world.go_on(60)
    assert world.receipt().status is Status.SUBMITTING
    return world


def away_for_a_day() -> World:
    world = away_from_the_submission_on()
    world.rest(patience=25 * 3600)
    return world


def canceled_before_its_job_was_there() -> World:
    world = away_from_the_submission_on()
    world.kedja.jobs.cancel(job(world))
    return world


def refused() -> World:
    world = World.make()
    world.training.refusal = "The environment does not exist."
    world.drop_digits()
    world.rest()
    return world


def registered() -> World:
    world = digits()
    completes(world)
    return world


def not_registered() -> World:
    world = digits()
    world.training.model_refusal = "The name is taken."
    completes(world)
    return world


def canceled() -> World:
    world = digits()
    is_canceled(world)
    return world


def superseded() -> World:
    """Return a world of two drops, the first of which was superseded before its job had started."""
    world = digits()
    drop_other(world)
    assert world.receipts()[0].status is Status.SUPERSEDED
    return world


def failed_while_it_was_canceled() -> World:
    world = digits()
    other = world.kedja
    world.kedja = host(world, training=lambda port: Meanwhile(port, "logs", lambda: other.jobs.cancel(job(world))))
    fails(world)
    return world


def retried(world: World) -> World:
    world.kedja.jobs.retry(job(world))
    return world


def superseded_and_dropped_again() -> World:
    world = superseded()
    drop_again(world)
    return world


def held_and_superseded() -> World:
    """Return a world of two drops that wait for an approval, on a compute of their own; the first is superseded."""
    world = World.make(approvals="required")
    world.training.compute_names.append("special")
    world.drop("scripts/digits/job.yaml", SPECIAL)
    world.drop_digits()
    world.rest()
    drop_other(world)
    assert [receipt.status for receipt in world.receipts()] == [Status.SUPERSEDED, Status.WAITING]
    return world


def held_and_dropped_again() -> World:
    world = held_and_superseded()
    drop_again(world)
    return world


def held_and_dropped_again_without_its_compute() -> World:
    world = held_and_superseded()
    world.training.compute_names.remove("special")
    drop_again(world)
    return world


def without_its_compute(**settings: str) -> World:
    world = World.make(**settings)
    world.drop("scripts/digits/job.yaml", SPECIAL)
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.REJECTED
    world.training.compute_names.append("special")
    world.announce("data/digits/digits.npz")
    world.rest()
    return world


def seen_again(world: World) -> World:
    """Hide the world's job until its receipt has ended for that, and let the job be seen again."""
    job = world.training.jobs.pop(world.receipt().job or "")
    for _ in range(4):
        world.clock.advance(310)
        world.reconcile()
        world.rest()
    assert world.receipt().status in (Status.FAILED, Status.NOT_REGISTERED)
    world.training.jobs[job.name] = job
    for listener in world.training.listeners:
        listener(job.name)
    world.rest()
    return world


def copying() -> World:
    """Return a world whose job is complete, and whose model is being copied."""
    world = digits()
    world.blobs.hold_copies = True
    world.training.finish(job(world))
    world.go_on(2)
    assert world.receipt().status is Status.COMPLETED
    return world


def copied_after_it_was_gone() -> World:
    world = copying()
    gone = world.training.jobs.pop(job(world))
    for _ in range(4):
        world.clock.advance(310)
        world.reconcile()
        world.go_on(2)
    assert world.receipt().status is Status.NOT_REGISTERED
    world.training.jobs[gone.name] = gone
    world.blobs.hold_copies = False
    world.blobs.end_copies()
    for listener in world.training.listeners:
        listener(gone.name)
    world.rest()
    assert world.receipt().status is Status.REGISTERED
    return world


OTHERS: dict[Move, Callable[[], World]] = {
    (_S.WAITING, _S.SUBMITTING): approved,
    (_S.WAITING, _S.REJECTED): service_is_away,
    (_S.WAITING, _S.SUPERSEDED): script_before_data,
    (_S.QUEUED, _S.SUBMITTING): queued_and_next,
    (_S.QUEUED, _S.SUBMITTED): queued_by_a_host_that_saw_no_place,
    (_S.QUEUED, _S.SUPERSEDED): queued_and_superseded,
    (_S.QUEUED, _S.CANCELED): queued_and_canceled,
    (_S.SUBMITTING, _S.QUEUED): queued,
    (_S.SUBMITTING, _S.SUBMITTED): digits,
    (_S.SUBMITTING, _S.FAILED): away_for_a_day,
    (_S.SUBMITTING, _S.CANCELING): canceled_before_its_job_was_there,
    (_S.SUBMITTING, _S.REJECTED): refused,
    (_S.COMPLETED, _S.REGISTERED): registered,
    (_S.COMPLETED, _S.NOT_REGISTERED): not_registered,
    (_S.CANCELING, _S.CANCELED): canceled,
    (_S.CANCELING, _S.SUPERSEDED): superseded,
    (_S.CANCELING, _S.FAILED): failed_while_it_was_canceled,
    (_S.FAILED, _S.SUBMITTED): lambda: seen_again(digits()),
    (_S.FAILED, _S.SUBMITTING): lambda: retried(away_for_a_day()),
    (_S.CANCELED, _S.SUBMITTING): lambda: retried(canceled()),
    (_S.NOT_REGISTERED, _S.COMPLETED): copied_after_it_was_gone,
    (_S.NOT_REGISTERED, _S.SUBMITTING): lambda: retried(not_registered()),
    (_S.REGISTERED, _S.SUBMITTING): lambda: retried(registered()),
    (_S.SUPERSEDED, _S.SUBMITTING): superseded_and_dropped_again,
    (_S.SUPERSEDED, _S.WAITING): held_and_dropped_again,
    (_S.SUPERSEDED, _S.REJECTED): held_and_dropped_again_without_its_compute,
    (_S.REJECTED, _S.WAITING): lambda: without_its_compute(approvals="required"),
    (_S.REJECTED, _S.SUBMITTING): without_its_compute,
}

BEGUN = (_S.SUBMITTED, _S.STARTING, _S.RUNNING)
WHILE_A_JOB_GOES_ON = [(before, after) for before in BEGUN for after in GOING_ON if before is not after]


@pytest.mark.parametrize("move", WHILE_A_JOB_GOES_ON, ids=lambda move: f"{move[0]} to {move[1]}")
def test_each_move_is_made_while_a_job_goes_on(move: Move) -> None:
    before, after = move
    world = digits(before)
    GOING_ON[after](world)
    assert move in moves(world)


@pytest.mark.parametrize("move", OTHERS, ids=lambda move: f"{move[0]} to {move[1]}")
def test_each_other_move_is_made(move: Move) -> None:
    assert move in moves(OTHERS[move]())


def test_these_are_all_moves() -> None:
    made = {*WHILE_A_JOB_GOES_ON, *OTHERS}
    assert made == {(before, after) for before, following in TRANSITIONS.items() for after in following}
