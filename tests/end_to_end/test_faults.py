"""The stack under seeded schedules of faults, judged by what lies in storage and in the registry."""

from pathlib import Path

import pytest

from local_azure.stack.supervisor import ROOT
from tests.end_to_end.faults import planted
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.job_killer import KIND
from tests.end_to_end.faults.report import story_of
from tests.end_to_end.faults.run import run
from tests.end_to_end.faults.schedule import REQUESTS, EventFaults, Place, Plot, Schedule, Side

FEW, STRIDE = 16, 47
"""Schedules that CI runs beside the planted bugs, of the thousand that `make faults` does."""
KILLED = Schedule(seed=910_000, plot=Plot.AGAIN_AT_ONCE, faults=(), events=EventFaults(), job_deaths=(1.0, 0.0))
"""A job that takes seconds; its process is killed after one second, and that of the next attempt at once."""


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_a_few_schedules_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    board = Board()
    outcomes = run([KILLED, *(Schedule.of(STRIDE * n) for n in range(FEW))], tmp_path, board=board)
    assert not [story_of(outcome, board) for outcome in outcomes if not outcome.is_good]
    assert len(outcomes) == FEW + 1
    assert any(kind.startswith(Place.BLOBS) for kind in board.injected)
    assert sum(outcome.verdict.models for outcome in outcomes) >= FEW // 2
    killed = outcomes[0].verdict
    assert (board.count(KILLED.seed, KIND), killed.jobs, killed.models) == (2, 3, 1)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_each_planted_bug_is_found_by_what_it_does(tmp_path: Path) -> None:
    tree = planted.with_bugs(ROOT, tmp_path / "tree", *planted.SCHEDULES)
    aimed = [schedule for schedules in planted.SCHEDULES.values() for schedule in schedules]
    outcomes = run(aimed, tmp_path / "stack", source=tree, patience=planted.PATIENCE)
    problems = {outcome.schedule.seed: outcome.problems() for outcome in outcomes}
    for bug, schedules in planted.SCHEDULES.items():
        found = [text for schedule in schedules for text in problems[schedule.seed]]
        assert any(planted.SIGNS[bug] in text for text in found), f"the bug in {bug} was not found: {found}"


def test_a_seed_says_all_and_seeds_walk_through_every_request_side_and_kind() -> None:
    assert Schedule.of(123) == Schedule.of(123)
    walked = [Schedule.of(seed).faults[0] for seed in range(REQUESTS * 24)]
    plain = {(fault.n, fault.side, fault.kind) for fault in walked if fault.kind not in ("kill Azurite", "kill MLflow")}
    kills = {(fault.n, fault.side) for fault in walked if fault.kind == "kill the host"}
    assert len(kills) > 0.95 * 2 * REQUESTS
    assert {fault.side for fault in walked} == set(Side)
    assert len(plain) > 0.9 * 2 * REQUESTS * 11
