"""Drops that wait for an approval."""

from function_app.domain import naming
from function_app.domain.receipt import Receipt
from function_app.store import approvals as approvals_module
from tests.unit.simulation import World


def waiting(world: World) -> Receipt:
    """Drop digits, and return the receipt that waits."""
    world.drop_digits()
    world.rest()
    return world.receipt()


def digest_of(receipt: Receipt) -> str:
    assert receipt.received.code_sha256 is not None
    return receipt.received.code_sha256


def approved(world: World) -> Receipt:
    """Have a drop wait, and its code be approved; return the receipt as it waits."""
    receipt = waiting(world)
    world.kedja.approval_service.approve(digest_of(receipt), by="ada", note=None)
    return receipt


def pending(world: World) -> list[str]:
    return world.blobs.names_in(naming.RECEIPTS, approvals_module.PENDING)


def revoke(world: World) -> None:
    world.kedja.approval_service.approvals.revoke(digest_of(world.receipt()))
