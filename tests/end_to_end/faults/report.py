"""The report: what was done to the stack, and what came of it, as a table."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.run import Outcome


def table_of(outcomes: Sequence[Outcome], board: Board) -> Table:
    """Return the faults that were injected, by kind, and the sums of all verdicts."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("count", justify="right")
    for kind, count in sorted(board.injected.items()):
        table.add_row(kind, str(count))
    table.add_section()
    sums: Counter[str] = Counter()
    for outcome in outcomes:
        verdict = outcome.verdict
        sums.update(
            drops=verdict.drops,
            jobs=verdict.jobs,
            models=verdict.models,
            copies=verdict.copies,
            events=verdict.events,
            lost=len(verdict.lost) + bool(outcome.stuck),
            doubled=len(verdict.doubled),
            untrue=len(verdict.wrong),
        )
    table.add_row("requests", str(sum(board.requests.values())))
    table.add_row("schedules", str(len(outcomes)))
    for name in ("drops", "jobs", "models", "copies", "events", "lost", "doubled", "untrue"):
        table.add_row(name, str(sums[name]), style="bold" if name in ("lost", "doubled", "untrue") else None)
    return table


def story_of(outcome: Outcome, board: Board) -> str:
    """Return a schedule with all that befell it and all that came out wrong."""
    told = Counter(board.told[outcome.schedule.seed])
    requests = (board.record or {}).get(outcome.schedule.seed, [])
    befell = [f"{what} ({count} times)" if count > 1 else what for what, count in told.items()]
    return "\n  ".join((str(outcome.schedule), *requests, *befell, *outcome.problems()))
