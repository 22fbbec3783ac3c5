"""Runs the GPU tests of Chainer's own suite with Kedja's layer, on this machine's GPU.

    PYTHON -m tests.chainer_suite.gpu --source CHECKOUT [--processes 8] [--minutes 10] [--report FILE]

PYTHON has the packages of `mended.txt`, and CuPy. There is no other side to compare with, as no CuPy of Chainer's time
runs on today's GPUs. Tests that ask for a second GPU where there is one are counted apart; every other failure must
have its reason in `expected.toml`. What was not begun when the time was over is said. Ends with 1 where a failure has
no reason.
"""

import argparse
import concurrent.futures
import datetime as dt
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chainer_suite import expected, families, shards, sides
from tests.chainer_suite.run import VERSION
from training_job.launcher import gpu_preflight

MARKERS = "gpu and not multi_gpu and not cudnn and not slow and not ideep and not chainerx"
_NO_SECOND_GPU = ("cudaErrorInvalidDevice", "TypeError: an integer is required")
"""What such a test says. The latter is what parameterized tests make of the former, as its class cannot be copied."""


def main() -> int:
    """Run, print and maybe write the report. Returns the exit code."""
    options = _parse()
    results = options.work / "gpu"
    results.mkdir(parents=True, exist_ok=True)
    root = options.source.resolve() / "tests/chainer_tests"
    files = sorted(root.rglob("test_*.py"), key=lambda file: -file.stat().st_size)
    if not options.compare_only:
        until = time.monotonic() + 60 * options.minutes
        with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
            list(pool.map(lambda file: _run(file, root, results, until), files))
    lines, unexplained = _report([results / _name(file, root) for file in files])
    sys.stdout.write("\n".join(lines) + "\n")
    if options.report is not None:
        options.report.write_text("\n".join(lines) + "\n")
    return int(unexplained > 0)


def _name(file: Path, root: Path) -> str:
    return str(file.relative_to(root)).replace("/", ".")


def _results(path: Path) -> Path:
    """Return where `suite_plugin` writes for a run that was told this path: the first, and here only, MPI rank's."""
    return path.with_name(f"{path.name}.0")


def _run(file: Path, root: Path, results: Path, until: float) -> None:
    """Run the tests of a file, unless the time is over."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        return
    path = results / _name(file, root)
    _results(path).unlink(missing_ok=True)
    source = root.parent.parent
    environment = sides.MENDED.environment(source, path, results.parent / "datasets")
    command = [*shards.pytest_command(Path(sys.executable), source, MARKERS), "-p", "pytest_timeout", str(file)]
    with path.with_name(f"{path.name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=results, env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _report(paths: Sequence[Path]) -> tuple[list[str], int]:
    """Return the report, and how many failures have no known reason."""
    counts: Counter[str] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    ends: Counter[str] = Counter()
    for path in paths:
        lines = shards.recorded(_results(path))
        ends[_end(lines)] += 1
        for test, outcome, message in ((one["id"], one["outcome"], one["message"]) for one in lines if "id" in one):
            if outcome not in {"failed", "error"}:
                counts[outcome] += 1
            elif any(word in message for word in _NO_SECOND_GPU):
                counts["needs a second GPU"] += 1
            else:
                counts[outcome] += 1
                failed[families.of(test), expected.reason(test, message) or f"UNEXPLAINED: {message}"] += 1
    unexplained = sum(count for (_, why), count in failed.items() if why.startswith("UNEXPLAINED"))
    report = [f"# Chainer's own GPU tests ({VERSION}) with `training_job.hooks.compat`", ""]
    report += [f"{dt.datetime.now(dt.UTC):%Y-%m-%d}. Markers: `{MARKERS}`.", ""]
    report += [f"- test files: {', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}"]
    report += [f"- tests: {', '.join(f'{count:,} {outcome}' for outcome, count in sorted(counts.items()))}"]
    report += [f"- failed without a known reason: {unexplained}", ""]
    report += [f"- {count} of `{test}`: {why}" for (test, why), count in failed.items()]
    return report, unexplained


def _end(lines: Sequence[Mapping[str, Any]]) -> str:
    if not lines:
        return "not begun"
    return "run to the end" if "finished" in lines[-1] else "cut off"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Chainer's own GPU tests with Kedja's layer.")
    parser.add_argument("--source", type=Path, required=True, help=f"a checkout of chainer/chainer at {VERSION}")
    parser.add_argument("--processes", type=int, default=8, help="test files at once, all on the same GPU")
    parser.add_argument("--minutes", type=float, default=10, help="end then, with what there is")
    parser.add_argument("--report", type=Path, help="write what is printed into this file, too")
    parser.add_argument("--compare-only", action="store_true", help="run nothing, report on what is there")
    parser.add_argument("--work", type=Path, default=sides.ROOT / ".kedja/chainer-suite", help="results")
    options = parser.parse_args()
    if not options.compare_only and gpu_preflight.visible_gpus() == 0:
        parser.error("no GPU can be used here")
    return options


if __name__ == "__main__":
    sys.exit(main())
