"""What a host or a person does at the same time as another."""

from function_app.domain.messages import SettleMessage
from function_app.operations.service import Kedja
from tests.unit.simulation import World


def settle(kedja: Kedja, world: World) -> None:
    request = SettleMessage(experiment="digits", folder="digits", trigger="t", since=world.clock())
    kedja.settler.settle(request, message="m")


def cancel(world: World) -> None:
    job = world.receipt().job
    assert job is not None
    world.kedja.job_commands.cancel(job)
