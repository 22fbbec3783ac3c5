"""Runs the suites of tests side by side, each in the environment that it needs, and says how long each took.

    python -m tests.suites fast    what `make test` runs: everything but what is marked slow
    python -m tests.suites rest    what that left out
    python -m tests.suites all     both, one after the other
    python -m tests.suites ci      style, types, documentation, fast and rest, as `.ci/run` does

Suites that compute run one after the other, with a worker for each processor; those that mostly wait for a local stack
run beside them. What a suite prints comes when it has ended. The exit status is 0 if all of them passed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Self

from attrs import define, field, frozen

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / ".venv" / "bin"
TRAINING = ROOT / ".venv-training" / "bin"
WORKERS = os.environ.get("KEDJA_TEST_WORKERS") or str(os.cpu_count() or 2)
"""Worker processes of a suite that computes."""
_SHARED = {"OPENBLAS_NUM_THREADS": "1"}
"""For all suites: the threads of several OpenBLAS on few cores wait for each other, busily."""
STACK_WORKERS = "4"
"""Worker processes of the end-to-end tests, which mostly wait."""
SLOWEST = 20
NOTHING_COLLECTED = 5
"""pytest's exit status if no test was chosen, https://docs.pytest.org/en/stable/reference/exit-codes.html."""


class Lane(Enum):
    """Suites of one lane run one after the other; the lanes run side by side."""

    COMPUTES = "computes"
    WAITS = "waits"


@frozen(kw_only=True)
class Suite:
    """A command to run. `report` is whether it writes what `tests.suite_report` writes."""

    name: str
    command: tuple[str, ...]
    lane: Lane = Lane.COMPUTES
    environment: Mapping[str, str] = field(factory=dict)
    report: bool = True


@frozen(kw_only=True)
class Result:
    """How a suite ended: its exit status, seconds, and the report of `tests.suite_report`, if it wrote one."""

    suite: Suite
    status: int
    seconds: float
    report: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        return self.status in (0, NOTHING_COLLECTED) if self.suite.report else self.status == 0

    @property
    def counts(self) -> str:
        counts = self.report.get("counts", {})
        return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in counts if counts[outcome])


def _pytest(python: Path, *arguments: str, workers: str | None = WORKERS) -> tuple[str, ...]:
    parallel = ("-n", workers, "--dist", "loadgroup") if workers else ()
    return (str(python / "python"), "-m", "pytest", "-q", "-p", "tests.suite_report", *parallel, *arguments)


def _training(*paths: str) -> tuple[str, ...]:
    # Tests of what runs in a job know nothing of the service, nor of its conftest.
    return ("--confcutdir", paths[0], *paths)


def fast() -> list[Suite]:
    """What `make test` runs."""
    profile = {"KEDJA_TEST_PROFILE": "fast"}
    quick = ("-m", "not slow")
    unit = ("tests/unit", "--ignore", "tests/unit/training_job")
    return [
        Suite(name="end-to-end", lane=Lane.WAITS, command=_pytest(SERVICE, "tests/end_to_end", *quick, workers=None)),
        Suite(
            name="contract",
            lane=Lane.WAITS,
            command=_pytest(SERVICE, "tests/contract", *quick, workers="2"),
            environment=profile,
        ),
        Suite(name="unit", command=_pytest(SERVICE, *unit, *quick), environment=profile),
        Suite(
            name="training job",
            command=_pytest(TRAINING, *_training("tests/unit/training_job"), *quick),
            environment=profile,
        ),
        Suite(name="infra", command=_pytest(SERVICE, "tests/infra", *quick), environment=profile),
    ]


def rest() -> list[Suite]:
    """What `make test` leaves out: slow tests, and the full number of generated examples."""
    profile = {"KEDJA_TEST_PROFILE": "ci"}
    full = ("-m", "slow or generated")
    stacks = ("tests/end_to_end", "-m", "slow and not faults")
    faults = ("tests/end_to_end", "-m", "faults")
    unit = ("tests/unit", "tests/contract", "--ignore", "tests/unit/training_job")
    return [
        Suite(name="end-to-end, slow", lane=Lane.WAITS, command=_pytest(SERVICE, *stacks, workers=STACK_WORKERS)),
        Suite(name="schedules of faults", lane=Lane.WAITS, command=_pytest(SERVICE, *faults, workers=None)),
        Suite(name="unit, contract, in full", command=_pytest(SERVICE, *unit, *full), environment=profile),
        Suite(
            name="training job, in full",
            command=_pytest(TRAINING, *_training("tests/unit/training_job"), *full),
            environment=profile,
        ),
        Suite(name="infra, in full", command=_pytest(SERVICE, "tests/infra", *full), environment=profile),
        Suite(name="fuzz", command=_pytest(SERVICE, "tests/fuzz"), environment=profile),
        Suite(
            name="fuzz, training job",
            command=_pytest(TRAINING, *_training("tests/fuzz"), workers=None),
            environment=profile,
        ),
        Suite(name="GPU", command=_pytest(TRAINING, *_training("tests/gpu"), workers=None)),
    ]


def checks() -> list[Suite]:
    """Style, types, and the links of the documentation."""
    return [
        Suite(name="style", command=("make", "lint"), report=False),
        Suite(name="types", command=("make", "types"), lane=Lane.WAITS, report=False),
        Suite(name="documentation", command=("make", "docs"), lane=Lane.WAITS, report=False),
    ]


@define
class Runner:
    """Runs suites, and ends the processes of all of them when it is interrupted."""

    reports: Path
    _processes: list[subprocess.Popen[str]] = field(factory=list, init=False)
    _printing: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        with tempfile.TemporaryDirectory(prefix="kedja-tests-") as folder:
            runner = cls(Path(folder))
            try:
                yield runner
            finally:
                runner.stop()

    def run(self, suites: Sequence[Suite]) -> list[Result]:
        lanes = [[suite for suite in suites if suite.lane is lane] for lane in Lane]
        with ThreadPoolExecutor(len(lanes)) as pool:
            done = pool.map(lambda lane: [self._run(suite) for suite in lane], lanes)
            try:
                return [result for results in done for result in results]
            except KeyboardInterrupt:
                self.stop()
                raise

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        for process in self._processes:
            process.wait()

    def _run(self, suite: Suite) -> Result:
        report = self.reports / f"{len(self._processes)}-{suite.name}.json"
        command = [*suite.command, *(("--suite-report", str(report)) if suite.report else ())]
        self._say(f"… {suite.name}")
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**_SHARED, **os.environ, "PYTHONPATH": str(ROOT), **suite.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        printed, _ = process.communicate()
        seconds = time.monotonic() - began
        self._say(f"\n=== {suite.name}, {seconds:.0f} s\n{printed.rstrip()}\n")
        found = json.loads(report.read_text()) if report.exists() else {}
        return Result(suite=suite, status=process.returncode, seconds=seconds, report=found)

    def _say(self, text: str) -> None:
        with self._printing:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def summary(results: Sequence[Result], seconds: float, *, left_out: bool, slowest: bool) -> str:
    """Say how each suite ended and what was not run."""
    width = max(len(result.suite.name) for result in results)
    lines = ["", f"{'':4} {'':{width}} {'s':>6}"]
    for result in results:
        mark = "ok" if result.passed else "FAIL"
        lines.append(f"{mark:4} {result.suite.name:{width}} {result.seconds:6.0f}  {result.counts}")
    lines.append(f"{'':4} {'together':{width}} {seconds:6.0f}")
    totals = sum((Counter(result.report.get("counts", {})) for result in results), Counter())
    failed = totals["failed"] + totals["error"]
    lines += ["", f"{totals['passed']} passed, {failed} failed, {totals['skipped']} skipped"]
    if slowest:
        times = Counter({name: took for result in results for name, took in result.report.get("seconds", {}).items()})
        lines += ["", f"The {SLOWEST} slowest tests, in seconds:"]
        lines += [f"{took:8.1f}  {name}" for name, took in times.most_common(SLOWEST)]
    lines += ["", *_left_out(results, left_out=left_out)]
    return "\n".join(lines)


def _left_out(results: Sequence[Result], *, left_out: bool) -> list[str]:
    skipped: Counter[str] = Counter()
    for result in results:
        skipped.update(result.report.get("skipped", {}))
    lines = [f"Skipped, {count}: {reason}" for reason, count in sorted(skipped.items())]
    if left_out:
        lines.append("Left out: slow tests, fuzzing, and most generated examples. make test-all runs them too.")
        if shutil.which("chromium") is None:
            lines.append("Left out: the page in a browser. It needs Chromium: apt-get install chromium.")
    return lines


STAGES = {
    "fast": (fast,),
    "rest": (rest,),
    "all": (fast, rest),
    "ci": (checks, fast, rest),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=STAGES)
    what = parser.parse_args(arguments).what
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, results = time.monotonic(), []
    with Runner.running() as runner:
        for stage in STAGES[what]:
            results += runner.run(stage())
    seconds = time.monotonic() - began
    sys.stdout.write(summary(results, seconds, left_out=what == "fast", slowest=what != "fast") + "\n")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
