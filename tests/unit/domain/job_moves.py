"""How the job of a drop moves its receipt."""

from collections.abc import Callable

from function_app.domain.receipt import Status
from function_app.ports.training_service import JobStatus
from tests.unit.simulation import SCRIPT, World

Move = tuple[Status, Status]
OTHER_SCRIPT = b"print('other')\n"


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


# How a job continues, as an event reports it, from each of the statuses of one that has begun.


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
    world.kedja.job_commands.cancel(job(world))
    world.rest()


def is_killed(world: World) -> None:
    """It has run, whatever the receipt knows of that."""
    world.tells_of_runs = False
    world.training.move(job(world), JobStatus.RUNNING)
    world.tells_of_runs = True
    world.training.move(job(world), JobStatus.FAILED, error="The node was preempted.")
    world.rest()


GOING_ON: dict[Status, Callable[[World], None]] = {
    Status.STARTING: starts,
    Status.RUNNING: runs,
    Status.COMPLETED: completes,
    Status.FAILED: fails,
    Status.CANCELED: is_canceled_there,
    Status.CANCELING: is_canceled,
    Status.SUBMITTING: is_killed,
}
