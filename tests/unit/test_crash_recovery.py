"""Killed at any call of any port, and its message delivered again: each way of a drop ends as if nothing had been."""

import functools
from typing import Any

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Receipt, Status
from function_app.store.journal import Entry
from tests.unit.crash_ports import InOrder, LastFirst, Rehearsal, state
from tests.unit.simulation import SCRIPT, World
from tests.unit.ways import ROUNDS, WAYS, world_of

SHARES = {"queued": 4, "superseded_in_the_queue": 2}
"""How many tests the deaths of a long way are shared out to."""


def outcome(world: World) -> dict[str, Any]:
    """Return what people, consumers and other systems can see of a world in the end."""
    kedja = world.next_process or world.kedja
    receipts = sorted((*world.receipts(), *world.receipts("_root")), key=lambda receipt: receipt.drop)
    assert world.blobs.names_in(naming.RECEIPTS, ".poison/") == []
    return {
        "receipts": [
            (receipt.name, receipt.status, receipt.reason, receipt.followed_by, receipt.superseded_by)
            for receipt in receipts
        ],
        # Whether someone looked while the job waited for its node is chance, too.
        "history": [
            [change.status for change in receipt.history if change.status is not Status.STARTING]
            for receipt in receipts
        ],
        "attempts": [[(one.job, one.exit_code, one.metrics) for one in receipt.attempts] for receipt in receipts],
        "specs": [receipt.spec for receipt in receipts],
        "receipts' models": [receipt.model for receipt in receipts],
        "outboxes": [receipt.outbox for receipt in receipts],
        "index": sorted(
            (name.rpartition("/")[2], world.blobs.stored[naming.RECEIPTS, name].item.metadata["status"])
            for name in world.blobs.names_in(naming.RECEIPTS, ".by-time/")
        ),
        "opened": world.opened(),
        "markers": world.markers(),
        "queued": world.blobs.names_in(naming.RECEIPTS, ".queued/"),
        "places": dict(kedja.submitter.job_queue.slots.running()),
        "jobs": sorted((job.name, job.status) for job in world.training.jobs.values()),
        # Which of a drop's events set it off is chance.
        "models": [(one.model, one.version, {**one.tags, "kedja_trigger": ""}) for one in world.training.current()],
        "files": world.blobs.names_in(naming.MODELS) + world.blobs.names_in(naming.SNAPSHOTS),
        "champion": champion.version if (champion := kedja.champions.find("digits")) else None,
        "latest": latest.drop if (latest := kedja.receipts.latest("digits")) else None,
        "events": sorted({(one.id, one.type) for one in world.publisher.published}),
        **journal(world),
    }


def journal(world: World) -> dict[str, Any]:
    """Return what a viewer of the live page was shown: each drop's last status, and every event."""
    lines = [Entry.from_bytes(line) for line in _journal_lines(world)]
    drops = {
        one.data["drop"]: one.data["metadata"]["status"]
        for one in sorted(
            (one for one in lines if one.kind == "drop"), key=lambda one: str(one.data["metadata"]["updated"])
        )
    }
    return {"told": drops, "told events": sorted({one.data["id"] for one in lines if one.kind == "event"})}


def _journal_lines(world: World) -> list[bytes]:
    blobs = reversed(world.blobs.names_in(naming.RECEIPTS, ".journal/"))
    return [line for name in blobs for line in world.blobs.stored[naming.RECEIPTS, name].data.splitlines()]


@functools.cache
def rehearsal(way: str, _: type[InOrder] = InOrder) -> Rehearsal[object]:
    """Return what is rehearsed once for all tests of a way that do what is done at once in the same order."""
    return Rehearsal.of(world_of(way), *WAYS[way])


def cases() -> dict[str, tuple[str, slice]]:
    """Return the ways, and of a long way each share of its deaths, so that no test is much longer than the others."""
    return {
        way + (f" {first + 1} of {shares}" if shares > 1 else ""): (way, slice(first, None, shares))
        for way in WAYS
        for shares in [SHARES.get(way, 1)]
        for first in range(shares)
    }


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize(
    ("way", "share"),
    # `make test` takes the first share of a long way, which has every second, third or fourth of its deaths.
    [
        pytest.param(way, share, id=name, marks=pytest.mark.slow if share.start else ())
        for name, (way, share) in cases().items()
    ],
)
def test_killed_after_any_call(way: str, share: slice) -> None:
    """Between two calls a process changes nothing, so dying after each of them is dying anywhere."""
    rehearsed = rehearsal(way)
    expected = outcome(rehearsed.world)
    assert len(rehearsed.states) > 10, "The service did not run over the ports that kill it."
    for number in rehearsed.deaths[share]:
        world, _ = rehearsed.killed(number)
        assert outcome(world) == expected, f"killed after call {number}"
        assert world.failures == []


@pytest.mark.parametrize("in_order", [LastFirst], indirect=True)
@pytest.mark.parametrize("way", ["copied_slowly", "outputs_that_went_while_they_were_copied"])
@pytest.mark.usefixtures("in_order")
def test_killed_where_of_copies_that_begin_at_once_the_last_is_the_first(way: str) -> None:
    rehearsed = rehearsal(way, LastFirst)
    expected = outcome(rehearsed.world)
    for number in rehearsed.deaths:
        world, _ = rehearsed.killed(number)
        assert outcome(world) == expected, f"killed after call {number}"


@pytest.mark.usefixtures("in_order")
def test_a_death_after_a_call_that_changed_nothing_is_the_death_after_the_call_before() -> None:
    """So nothing is lost by trying only the deaths that a rehearsal names: the others end in the very same state."""
    rehearsed = rehearsal("registered")
    ends: list[str] = []
    for number in range(1, len(rehearsed.states) + 1):
        world, _ = rehearsed.killed(number)
        ends.append(state(world))
        if number not in rehearsed.deaths:
            assert ends[-1] == ends[-2], f"Killed after call {number}, it ends otherwise than after the call before."
    assert 10 < len(rehearsed.deaths) < len(ends) - 10


@pytest.mark.usefixtures("in_order")
def test_steps_that_were_taken_before_a_process_began_are_as_if_it_had_taken_them() -> None:
    """So nothing is lost by not taking them again: a process that takes them all ends in the very same state."""
    several = rehearsal("registered")
    one = Rehearsal.of(world_of("registered"), lambda world: [step(world) for step in WAYS["registered"]])
    assert one.states == several.states
    for number in one.deaths:
        assert state(one.killed(number)[0]) == state(several.killed(number)[0]), f"killed after call {number}"


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize(
    ("spec", "status"), [(b"", Status.SUPERSEDED), (b"comand: python train.py\n", Status.REJECTED)], ids=str
)
def test_a_drop_whose_host_was_killed_is_told_what_followed_before_its_message_came_again(
    spec: bytes, status: Status
) -> None:
    def until_it_dies(world: World) -> None:
        while world.queues.messages and not world.killed:
            world.go_on(1)

    def drop_the_rest(world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"display_name: digits\n")
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()

    world = World.make()
    world.drop("data/digits/notes.txt", b"no format that is known")
    world.drop("scripts/digits/job.yaml", spec)
    # A mark without a receipt stays for ten minutes.
    rehearsed = Rehearsal.of(world, until_it_dies, drop_the_rest, *ROUNDS, *ROUNDS)
    assert check_older(rehearsed.world, status, "lived"), "The first drop was never looked at."
    for number in rehearsed.deaths:
        world, _ = rehearsed.killed(number)
        check_older(world, status, f"killed after call {number}")


def check_older(world: World, status: Status, process: str) -> list[Receipt]:
    """Return the receipts of older drops, each of which has ended and names the drop that followed."""
    *older, newest = sorted(world.receipts(), key=lambda receipt: receipt.order)
    assert [job.name for job in world.live_jobs()] == [newest.job], process
    assert [(one.status, one.followed_by) for one in older] in ([], [(status, newest.drop)]), process
    rejected = [one.data["drop"] for one in world.publisher.published if one.type == "Kedja.DropRejected"]
    assert set(rejected) == {one.drop for one in older if one.status is Status.REJECTED}, process
    assert world.opened() == [f".open/{newest.name}"], process
    return older
