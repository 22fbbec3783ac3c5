"""Each move that TRANSITIONS allows is one that some way of a drop makes: the table has no line that nobody walks."""

import itertools

import pytest

from function_app.domain.receipt import TRANSITIONS, Status
from tests.unit.domain.drop_moves import OTHERS
from tests.unit.domain.job_moves import GOING_ON, Move, digits
from tests.unit.invariants import all_receipts
from tests.unit.simulation import World


def moves(world: World) -> set[Move]:
    """Return the moves that the histories of all receipts tell of."""
    found: set[Move] = set()
    for receipt in all_receipts(world):
        statuses = [change.status for change in receipt.history]
        found |= {(before, after) for before, after in itertools.pairwise(statuses) if before is not after}
    return found


BEGUN = (Status.SUBMITTED, Status.STARTING, Status.RUNNING)
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
