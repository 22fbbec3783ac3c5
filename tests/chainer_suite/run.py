"""Runs Chainer's own tests twice and compares: unmended on an old Python, and with Kedja's layer on today's.

    python -m tests.chainer_suite.run [--source CHECKOUT] [--suite chainer] [--shard PART] [--report FILE]

Without `--source`, chainer/chainer is cloned at v7.8.1. Every difference is printed; the report names the tests of one
family together. Results are kept by shard, so that a run that was ended continues where it stopped, and a change of the
compatibility layer runs the mended side alone again. Ends with 1 if a test passes unmended and not mended, and
`expected.toml` gives no reason for it.
"""

import argparse
import concurrent.futures
import datetime as dt
import fnmatch
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.chainer_suite import digits, expected, families, shards, sides

VERSION = "v7.8.1"
_REPOSITORY = "https://github.com/chainer/chainer"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A test that ends in another way with the layer than without."""

    test: str
    reference: str
    mended: str
    message: str
    reason: str | None
    """Why that is a defect of the test itself, if it is known to be one."""

    @property
    def is_worse(self) -> bool:
        """Whether it passes without the layer, and not with it (being left out is not passing)."""
        return self.reference == "passed" and self.mended != "passed"


def main() -> int:
    """Run what is not there yet, print and maybe write the report. Returns the exit code."""
    options = _parse()
    source = options.source.resolve() if options.source else _clone(options.work / "source")
    pythons = {side: sides.install(side, options.work / f"venv-{side.name}", options.uv) for side in sides.SIDES}
    wanted = [
        shard
        for suite in shards.SUITES
        if suite.name in options.suite
        for shard in shards.shards(suite, source)
        if not options.shard or any(fnmatch.fnmatch(shard.name, pattern) for pattern in options.shard)
    ]
    if not options.compare_only:
        digits.write(options.work / "datasets")
        _run_all(wanted, pythons, source, options.work)
    lines, differences = _report(wanted, pythons, options.work)
    sys.stdout.write("\n".join([*lines, *map(_line, differences)]) + "\n")
    if options.report is not None:
        options.report.write_text("\n".join([*lines, *_short(differences)]) + "\n")
    return 1 if any(difference.is_worse and difference.reason is None for difference in differences) else 0


def _run_all(wanted: list[shards.Shard], pythons: dict[sides.Side, Path], source: Path, work: Path) -> None:
    """Run the two sides beside each other, one process each."""

    def run_side(side: sides.Side) -> None:
        for shard in wanted:
            shards.run(shard, side, pythons[side], source, work)
            counts = _counts(shards.outcomes(shard, side, work).values())
            sys.stderr.write(f"{side.name:9} {shard.name}: {counts}\n")

    with concurrent.futures.ThreadPoolExecutor(len(pythons)) as pool:
        list(pool.map(run_side, pythons))


def _report(
    wanted: list[shards.Shard], pythons: dict[sides.Side, Path], work: Path
) -> tuple[list[str], list[Difference]]:
    lines = [f"# Chainer's own tests ({VERSION}, CPU), unmended and with `training_job.hooks.compat`", ""]
    lines += [f"{dt.datetime.now(dt.UTC):%Y-%m-%d}. Markers: `{shards.MARKERS}`.", ""]
    lines += [f"- {side.name}: {_versions(python)}" for side, python in pythons.items()]
    differences: list[Difference] = []
    for suite in dict.fromkeys(shard.suite for shard in wanted):
        both = [_gather(wanted, suite, side, work) for side in sides.SIDES]
        lines += ["", f"## {suite.name}" + (f" ({suite.ranks} MPI ranks)" if suite.ranks > 1 else ""), ""]
        lines += [f"- {side.name}: {_counts(found.values())}" for side, found in zip(sides.SIDES, both, strict=True)]
        differences += _compare(*both)
    worse = [difference for difference in differences if difference.is_worse]
    unexplained = [difference for difference in worse if difference.reason is None]
    lines += ["", f"## Tests that end differently: {len(differences)}", ""]
    lines += [f"- passed unmended, not mended: {len(worse)}, of which {len(unexplained)} without a known reason"]
    lines += [f"- passed mended, not unmended: {sum(d.mended == 'passed' for d in differences)}", ""]
    return lines, sorted(differences, key=lambda d: (not d.is_worse, d.reason is not None, d.test))


def _line(difference: Difference) -> str:
    why = difference.reason or difference.message
    return f"- `{difference.test}`: {difference.reference} → {difference.mended}. {why}".rstrip()


def _short(differences: Iterable[Difference]) -> list[str]:
    """Return one line for all tests that differ in their parameters (or rank) alone."""
    groups = Counter(
        (families.of(difference.test), difference.reference, difference.mended, difference.reason or "")
        for difference in differences
    )
    return [
        f"- {count} of `{test}`: {old} → {new}. {reason}".rstrip() for (test, old, new, reason), count in groups.items()
    ]


def _gather(
    wanted: Iterable[shards.Shard], suite: shards.Suite, side: sides.Side, work: Path
) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for shard in wanted:
        if shard.suite == suite:
            found |= shards.outcomes(shard, side, work)
    return found


def _compare(reference: dict[str, tuple[str, str]], mended: dict[str, tuple[str, str]]) -> Iterable[Difference]:
    for test in reference.keys() | mended.keys():
        old, old_message = reference.get(test, ("missing", ""))
        new, new_message = mended.get(test, ("missing", ""))
        if old == new or "passed" not in {old, new}:
            continue
        message = new_message if new != "passed" else old_message
        yield Difference(test=test, reference=old, mended=new, message=message, reason=expected.reason(test, message))


def _counts(found: Iterable[tuple[str, str]]) -> str:
    counts = Counter(outcome for outcome, _ in found)
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))


def _versions(python: Path) -> str:
    names = ("chainer", "numpy", "scipy", "protobuf", "setuptools", "onnx", "onnxruntime", "mpi4py", "pytest")
    code = (
        "import importlib.metadata as m, platform\n"
        "def v(n):\n  try: return n + ' ' + m.version(n)\n  except m.PackageNotFoundError: return n + ' none'\n"
        f"print(', '.join(['Python ' + platform.python_version(), *map(v, {names!r})]))"
    )
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _clone(folder: Path) -> Path:
    if not (folder / "tests").is_dir():
        arguments = ["--quiet", "--depth", "1", "--branch", VERSION, "-c", "advice.detachedHead=false"]
        subprocess.run(["git", "clone", *arguments, _REPOSITORY, str(folder)], check=True)
    return folder


def _parse() -> argparse.Namespace:
    names = [suite.name for suite in shards.SUITES]
    parser = argparse.ArgumentParser(description="Run Chainer's own tests with and without Kedja's layer; compare.")
    parser.add_argument("--source", type=Path, help=f"a checkout of chainer/chainer at {VERSION}; else it is cloned")
    parser.add_argument("--suite", nargs="+", choices=names, default=names)
    parser.add_argument("--shard", nargs="+", help="run these alone, such as chainer.optimizers_tests or 'chainer.f*'")
    parser.add_argument("--report", type=Path, help="write what is printed into this file, too")
    parser.add_argument("--compare-only", action="store_true", help="run nothing, compare what is there")
    parser.add_argument("--work", type=Path, default=sides.ROOT / ".kedja/chainer-suite", help="results, environments")
    parser.add_argument("--uv", default="uv", help="the program that makes the environments")
    options = parser.parse_args()
    with_ranks = [suite.name for suite in shards.SUITES if suite.ranks > 1 and suite.name in options.suite]
    if with_ranks and not options.compare_only and shutil.which("mpirun") is None:
        others = " ".join(name for name in names if name not in with_ranks)
        parser.error(f"{', '.join(with_ranks)} needs mpirun (Debian: openmpi-bin). Without it: --suite {others}")
    return options


if __name__ == "__main__":
    sys.exit(main())
