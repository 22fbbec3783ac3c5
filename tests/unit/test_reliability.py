"""docs/reliability.md says what the code does."""

import json
import re
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from function_app import completion, looking_again, reconciliation, registration, service_wait
from function_app.receipt import FINAL, MOVES, Status
from function_app.settings import Settings

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
    assert {status: frozenset(after) for status, after in described.items()} == dict(MOVES)


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
        ("a round of `reconcile` begins nothing more", reconciliation.ROUND.total_seconds()),
        ("a claimed attempt without a job", reconciliation.LOST_SUBMISSION.total_seconds()),
        ("lease of a registration", registration.LEASE_SECONDS),
        ("a job's uploads", registration.UPLOAD_DEADLINE.total_seconds()),
        ("the training service may be unavailable", service_wait.DEADLINE.total_seconds()),
        ("what goes on after an approval", looking_again.DEADLINE.total_seconds()),
        ("a job's look is repeated", completion.DEADLINE.total_seconds()),
    ],
)
def test_times(what: str, seconds: float) -> None:
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {what}")]
    number, unit = row.split("|")[2].split()
    assert float(number) * {"s": 1, "min": 60, "h": 3600}[unit] == seconds


def test_a_round_ends_before_its_function_is_ended() -> None:
    limit = json.loads(Path("host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = map(int, limit.split(":"))
    assert timedelta(hours=hours, minutes=minutes, seconds=seconds) - timedelta(minutes=2) >= reconciliation.ROUND


def test_deliveries_and_preemptions() -> None:
    assert f"| {Settings().max_preemptions} times in a row | `KEDJA_MAX_PREEMPTIONS` |" in TEXT
    assert f"| {reconciliation.STALE_MARKER:.0f} quiet periods" in TEXT
