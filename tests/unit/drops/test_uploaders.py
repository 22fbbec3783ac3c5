"""Who uploaded a drop, as far as the way its files came tells."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from attrs import define, field

from function_app.drops.uploaders import Links
from tests.unit.simulation import World


@define
class Records:
    """What is on record of upload links, and how often it was asked for."""

    links: dict[tuple[str, str], tuple[str, datetime]] = field(factory=dict)
    asked: list[str] = field(factory=list)

    def latest_links(self, experiment: str) -> Links:
        self.asked.append(experiment)
        return self.links


@pytest.fixture
def records(world: World) -> Records:
    records = Records()
    object.__setattr__(world.kedja.settler.drop_receipts, "uploads", records)
    return records


FILES = (("scripts", "train.py"), ("data", "digits.npz"))


@pytest.mark.parametrize(
    ("uploaders", "told"),
    [
        ({}, ("unknown",)),
        (dict.fromkeys(FILES, "ada"), ("ada",)),
        ({FILES[0]: "bob", FILES[1]: "ada"}, ("ada", "bob")),
        ({FILES[1]: "ada"}, ("ada", "unknown")),
        ({("data", "other.npz"): "ada"}, ("unknown",)),
    ],
)
def test_the_receipt_names_them(
    world: World, records: Records, uploaders: Mapping[tuple[str, str], str], told: tuple[str, ...]
) -> None:
    records.links = {place: (name, world.clock()) for place, name in uploaders.items()}
    world.drop_digits()
    world.rest()
    assert world.receipt().uploaded_by == told


def test_an_old_link_tells_nothing_of_a_new_file(world: World, records: Records) -> None:
    records.links = {place: ("ada", world.clock() - timedelta(days=2)) for place in FILES}
    world.drop_digits()
    world.rest()
    assert world.receipt().uploaded_by == ("unknown",)


def test_whoever_drops_it_again_is_named_with_the_next_attempt(world: World, records: Records) -> None:
    world.drop_digits()
    world.rest()
    world.run_job(exit_code=1)
    world.clock.advance(60)
    records.links = {place: ("ada", world.clock()) for place in FILES}
    world.drop_digits()
    world.rest()
    assert (world.receipt().uploaded_by, len(world.receipt().attempts)) == (("ada",), 2)


def test_it_costs_one_look_a_drop_and_none_an_event(world: World, records: Records) -> None:
    for number in range(50):
        world.drop(f"data/digits/{number}.npz", times=2)
    world.drop_digits()
    world.rest()
    assert records.asked == ["digits"]
