"""What tests read of a world's receipts."""

from function_app.domain.receipt import Status
from tests.unit.simulation import World


def statuses(world: World) -> list[Status]:
    return [receipt.status for receipt in world.receipts()]
