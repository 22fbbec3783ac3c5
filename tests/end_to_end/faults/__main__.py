"""Runs seeded schedules of faults against the local stack, lets the oracle judge, and prints what came of it.

python -m tests.end_to_end.faults                    1,000 schedules
python -m tests.end_to_end.faults --count 30         the first 30
python -m tests.end_to_end.faults --seed 123         one alone, with every request and what befell it
python -m tests.end_to_end.faults --planted          whether each planted bug is found
python -m tests.end_to_end.faults --recovery         how long recovery takes with the real host's timings
"""

import argparse
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from local_azure.stack.supervisor import ROOT, raise_interrupt_once
from tests.end_to_end.faults import planted, recovery
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.report import story_of, table_of
from tests.end_to_end.faults.run import AT_ONCE, Outcome, run
from tests.end_to_end.faults.schedule import Schedule

PER_STACK = 250
"""Schedules on one stack; then the next begins with an empty one, and what came of these is known."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 where the oracle found anything that it should not."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    raise_interrupt_once()
    began = time.monotonic()
    with ExitStack() as stack:
        state = options.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kedja-faults-")))
        if options.planted:
            is_good = _plant(state, console)
        elif options.recovery:
            is_good = _recover(state, console)
        else:
            is_good = _run(options, state, console)
    console.print(f"{time.monotonic() - began:.0f} s")
    return 0 if is_good else 1


def _run(options: argparse.Namespace, state: Path, console: Console) -> bool:
    is_alone = options.seed is not None
    seeds = [options.seed] if is_alone else range(options.first, options.first + options.count)
    board = Board(record={} if is_alone else None)
    until = time.monotonic() + 60 * options.minutes
    outcomes: list[Outcome] = []
    for some in itertools.batched(seeds, PER_STACK, strict=False):
        if time.monotonic() > until:
            break
        schedules = [Schedule.of(seed) for seed in some]
        folder = state / f"from-{some[0]}"
        new = run(schedules, folder, board=board, at_once=options.at_once, seconds=until - time.monotonic())
        for outcome in new:
            if is_alone or not outcome.is_good:
                console.print(story_of(outcome, board))
        outcomes += new
        bad = sum(not outcome.is_good for outcome in outcomes)
        console.print(f"{len(outcomes)} of {len(seeds)} schedules, {bad} of them with a problem")
    console.print(table_of(outcomes, board))
    return all(outcome.is_good for outcome in outcomes)


def _plant(state: Path, console: Console) -> bool:
    every = True
    for bug, schedules in planted.SCHEDULES.items():
        board = Board()
        tree = planted.with_bugs(ROOT, state / bug / "tree", bug)
        outcomes = run(schedules, state / bug / "stack", source=tree, board=board, patience=planted.PATIENCE)
        found = [one for one in outcomes if any(planted.SIGNS[bug] in text for text in one.problems())]
        console.print(f"{bug}: {'found' if found else 'NOT FOUND'} by {len(found)} of {len(outcomes)} schedules")
        for outcome in found:
            console.print("  " + story_of(outcome, board).replace("\n", "\n  "))
        every = every and bool(found)
    return every


def _recover(state: Path, console: Console) -> bool:
    measurements = recovery.measure(state)
    console.print(recovery.report(measurements))
    return all(one.is_good for one in measurements)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, help="run this schedule alone")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--count", type=int, default=1000, help="how many schedules (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="schedules at a time (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin none after so many (default: no limit)")
    parser.add_argument("--state", type=Path, help="keep everything in this folder (default: a temporary one)")
    parser.add_argument("--planted", action="store_true", help="look for each planted bug")
    parser.add_argument("--recovery", action="store_true", help="measure recovery with the real host's timings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
