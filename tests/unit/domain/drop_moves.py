"""Ways of a drop that make the moves which no job makes."""

from collections.abc import Callable
from typing import cast

from function_app.domain.receipt import Status
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings
from tests.unit.domain.job_moves import Move, completes, digits, drop_again, drop_other, fails, is_canceled, job, runs
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World, assembled

SPECIAL = b"compute: special\n"


# The other moves, each with a way that makes it.


def approved() -> World:
    world = World.make(approvals="required")
    world.drop_digits()
    world.rest()
    world.kedja.approval_service.approve(str(world.receipt().received.code_sha256), by="ada", note=None)
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
    world.kedja.job_commands.cancel(job(world))
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
    world.kedja = host(
        world, training=lambda port: Meanwhile(port, "logs", lambda: other.job_commands.cancel(job(world)))
    )
    fails(world)
    return world


def retried(world: World) -> World:
    world.kedja.job_commands.retry(job(world))
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
    (Status.WAITING, Status.SUBMITTING): approved,
    (Status.WAITING, Status.REJECTED): service_is_away,
    (Status.WAITING, Status.SUPERSEDED): script_before_data,
    (Status.QUEUED, Status.SUBMITTING): queued_and_next,
    (Status.QUEUED, Status.SUBMITTED): queued_by_a_host_that_saw_no_place,
    (Status.QUEUED, Status.SUPERSEDED): queued_and_superseded,
    (Status.QUEUED, Status.CANCELED): queued_and_canceled,
    (Status.SUBMITTING, Status.QUEUED): queued,
    (Status.SUBMITTING, Status.SUBMITTED): digits,
    (Status.SUBMITTING, Status.FAILED): away_for_a_day,
    (Status.SUBMITTING, Status.CANCELING): canceled_before_its_job_was_there,
    (Status.SUBMITTING, Status.REJECTED): refused,
    (Status.COMPLETED, Status.REGISTERED): registered,
    (Status.COMPLETED, Status.NOT_REGISTERED): not_registered,
    (Status.CANCELING, Status.CANCELED): canceled,
    (Status.CANCELING, Status.SUPERSEDED): superseded,
    (Status.CANCELING, Status.FAILED): failed_while_it_was_canceled,
    (Status.FAILED, Status.SUBMITTED): lambda: seen_again(digits()),
    (Status.FAILED, Status.SUBMITTING): lambda: retried(away_for_a_day()),
    (Status.CANCELED, Status.SUBMITTING): lambda: retried(canceled()),
    (Status.NOT_REGISTERED, Status.COMPLETED): copied_after_it_was_gone,
    (Status.NOT_REGISTERED, Status.SUBMITTING): lambda: retried(not_registered()),
    (Status.REGISTERED, Status.SUBMITTING): lambda: retried(registered()),
    (Status.SUPERSEDED, Status.SUBMITTING): superseded_and_dropped_again,
    (Status.SUPERSEDED, Status.WAITING): held_and_dropped_again,
    (Status.SUPERSEDED, Status.REJECTED): held_and_dropped_again_without_its_compute,
    (Status.REJECTED, Status.WAITING): lambda: without_its_compute(approvals="required"),
    (Status.REJECTED, Status.SUBMITTING): without_its_compute,
}
