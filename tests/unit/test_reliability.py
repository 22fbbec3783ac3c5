"""docs/reliability.md says what the code does."""

import json
import re
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from function_app.domain.receipt import FINAL, TRANSITIONS, Status
from function_app.operations import stale_markers
from function_app.settings import Settings
from function_app.timing import Timing

TEXT = Path("docs/reliability.md").read_text()
WRITERS = {"settling", "submission", "completion", "registration", "supersession", "a caller"}


def words(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def rows() -> list[list[str]]:
    table = TEXT.partition("## States")[2].partition("## Marks")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_states_is_moves() -> None:
    described: defaultdict[Status, set[Status]] = defaultdict(set)
    for before, after, *_ in rows():
        (start,) = words(before)
        described[Status(start)].update(map(Status, words(after)))
    assert {status: frozenset(after) for status, after in described.items()} == dict(TRANSITIONS)


def test_each_move_stands_once_with_its_writers() -> None:
    moves = Counter((words(before)[0], after) for before, targets, *_ in rows() for after in words(targets))
    assert [move for move, count in moves.items() if count > 1] == []
    for _, _, writers, why in rows():
        assert set(writers.split(", ")) <= WRITERS
        assert why


def test_the_final_ones_are_named() -> None:
    line = next(line for line in TEXT.splitlines() if line.startswith("Final: "))
    assert set(words(line.partition(".")[0])) == {status.value for status in FINAL}


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        ("quiet period: ", Settings().quiet_period),
        ("longest wait for a folder", Settings().max_wait),
        ("a job without a node", Settings().start_deadline),
        ("a round of `reconcile` begins nothing more", Timing().reconcile_round),
        ("a claimed attempt without a job", Timing().lost_submission),
        ("lease of a registration", Timing().lease),
        ("a job's uploads", Timing().upload_deadline),
        ("the training service may be unavailable", Timing().outage_deadline),
        ("what an approval or a requested event continues", Timing().outage_deadline),
        ("a job's look is repeated", Timing().look_deadline),
    ],
)
def test_times(what: str, seconds: float) -> None:
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {what}")]
    number, unit = row.split("|")[2].split()
    assert float(number) * {"s": 1, "min": 60, "h": 3600}[unit] == seconds


def test_a_round_ends_before_its_function_is_ended() -> None:
    limit = json.loads(Path("host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = map(int, limit.split(":"))
    round_ = timedelta(seconds=Timing().reconcile_round)
    assert timedelta(hours=hours, minutes=minutes, seconds=seconds) - timedelta(minutes=2) >= round_


def test_what_a_round_consists_of_adds_up_to_less_than_its_time() -> None:
    """So each part of it gets its turn, however much the others have to do."""
    timing = Timing()
    reconcile = (
        timing.open_round,
        timing.place_round,
        timing.stray_round,
        timing.marker_round,
        timing.approval_round,
    )
    assert sum(reconcile) < timing.reconcile_round
    assert timing.deletion_round + timing.retention_round < timing.reconcile_round
    assert timing.walk_round < timing.max_walk_round < timing.reconcile_round


def test_deliveries_and_preemptions() -> None:
    assert f"| {Settings().max_preemptions} times in a row | `KEDJA_MAX_PREEMPTIONS` |" in TEXT
    assert f"| {stale_markers.STALE_MARKER:.0f} quiet periods" in TEXT
