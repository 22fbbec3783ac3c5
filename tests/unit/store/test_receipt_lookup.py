"""Looking a receipt up by the beginning of its drop's id, or as the latest."""

import pytest

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.errors import NotFound
from function_app.store.receipt_lookup import ReceiptLookup
from tests.unit.simulation import World


@pytest.fixture
def lookup(world: World) -> ReceiptLookup:
    return ReceiptLookup(blobs=world.blobs, receipts=world.kedja.receipts)


def test_a_drop_is_found_by_its_first_digits_and_as_the_latest(world: World, lookup: ReceiptLookup) -> None:
    world.drop_digits()
    world.rest()
    ref = world.receipt().ref

    assert lookup.ref("digits", ref.drop) == ref
    assert lookup.ref("digits", ref.drop[:8]) == ref
    assert lookup.ref("digits", "latest") == ref


@pytest.mark.parametrize("text", ["latest", "00000000", "0000", "no-id", f"{'0' * 63}g"])
def test_what_is_no_drop_is_not_found(lookup: ReceiptLookup, text: str) -> None:
    with pytest.raises(NotFound, match=f"no receipt digits/{text}"):
        lookup.ref("digits", text)


def test_digits_of_two_drops_are_not_enough(world: World, lookup: ReceiptLookup) -> None:
    for end in "ab":
        world.blobs.create(naming.RECEIPTS, naming.receipt_blob(DropRef("digits", f"{'0' * 63}{end}")), b"{}")

    with pytest.raises(NotFound, match="give more digits"):
        lookup.ref("digits", "0" * 8)


def test_the_latest_drop_comes_with_its_receipts_metadata_while_there_is_a_receipt(
    world: World, lookup: ReceiptLookup
) -> None:
    assert lookup.latest("digits") is None

    world.drop_digits()
    world.rest()
    latest, metadata = lookup.latest("digits") or pytest.fail("There is none.")
    assert (latest.drop, metadata["status"]) == (world.receipt().drop, "submitted")

    world.blobs.delete(naming.RECEIPTS, naming.receipt_blob(latest.ref))
    assert lookup.latest("digits") == (latest, {})
