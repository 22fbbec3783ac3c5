"""Parts of Chainer's test-suite, run one after the other, each with its results in a file of its own."""

import collections
import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chainer_suite import sides

MARKERS = "not gpu and not cudnn and not slow and not ideep and not chainerx"
_LONGEST_S = 1800
_CRASHED = "crashed"
_ORDERLY = frozenset({0, 1, 5})
"""pytest's exit codes for a session that ran to its end: all passed, some failed, no tests."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One of the three test-suites of the source tree."""

    name: str
    folder: str
    ranks: int = 1
    """MPI processes that run it together; the results are those of all of them."""


SUITES = (
    Suite(name="chainer", folder="tests/chainer_tests"),
    Suite(name="onnx_chainer", folder="tests/onnx_chainer_tests"),
    Suite(name="chainermn", folder="tests/chainermn_tests", ranks=2),
)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Test files that one pytest runs."""

    suite: Suite
    name: str
    files: tuple[Path, ...]


def shards(suite: Suite, source: Path) -> Iterator[Shard]:
    """Yield one shard for each folder with test files, and for chainermn one for each file, as MPI may hang."""
    groups: dict[str, list[Path]] = collections.defaultdict(list)
    root = source / suite.folder
    for file in sorted(root.rglob("test_*.py")):
        part = file.relative_to(root)
        groups[str(part.with_suffix("") if suite.ranks > 1 else part.parent)].append(file)
    for group, files in groups.items():
        name = f"{suite.name}.{group.replace('/', '.').strip('.') or 'top'}"
        yield Shard(suite=suite, name=name, files=tuple(files))


def run(shard: Shard, side: sides.Side, python: Path, source: Path, work: Path) -> None:
    """Run a shard, unless its results are there and nothing that they depend on has changed."""
    results = work / side.name / shard.name
    fingerprint = results.with_suffix(results.suffix + ".fingerprint")
    ground = sides.fingerprint(side)
    if fingerprint.is_file() and fingerprint.read_text() == ground:
        return
    for old in results.parent.glob(f"{shard.name}.*"):
        if old.name.removeprefix(f"{shard.name}.") in {"fingerprint", "log", *map(str, range(shard.suite.ranks))}:
            old.unlink()
    scratch = work / side.name / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    launcher = [] if shard.suite.ranks == 1 else _mpirun(shard.suite.ranks)
    overdue = contextlib.suppress(subprocess.TimeoutExpired)  # what is missing then counts as a failure
    with results.with_suffix(results.suffix + ".log").open("wb") as log, overdue:
        subprocess.run(
            ["nice", "-n", "19", *launcher, *pytest_command(python, source, MARKERS),
             *(["--timeout=120", "--timeout-method=thread"] if launcher else []),
             "--continue-on-collection-errors", *map(str, shard.files)],
            cwd=scratch, env=side.environment(source, results, work / "datasets"), stdout=log, stderr=subprocess.STDOUT,
            timeout=_LONGEST_S, check=False,
        )  # fmt: skip
    fingerprint.write_text(ground)


def pytest_command(python: Path, source: Path, markers: str) -> list[str]:
    """Return how pytest runs Chainer's tests, without the files."""
    ours = ["-p", "suite_plugin", "-p", "no:cacheprovider", "-c", str(sides.HERE / "pytest.ini")]
    return [str(python), "-m", "pytest", *ours, "--rootdir", str(source / "tests"), "-q", "--color=no", "-m", markers]


def _mpirun(ranks: int) -> list[str]:
    # mpirun kills the other ranks when one ends with an error: a rank with a failed test has come to its end, too.
    orderly = "|".join(map(str, sorted(_ORDERLY)))
    rank = ["sh", "-c", f'"$@"; code=$?; case $code in {orderly}) exit 0;; esac; exit $code', "rank"]
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *rank]


def outcomes(shard: Shard, side: sides.Side, work: Path) -> dict[str, tuple[str, str]]:
    """Return how each test ended and why, by id; a pytest that was cut off is a test of the shard's name."""
    found: dict[str, tuple[str, str]] = {}
    for rank in range(shard.suite.ranks):
        label = f" [rank {rank}]" if shard.suite.ranks > 1 else ""
        lines = recorded(work / side.name / f"{shard.name}.{rank}")
        for line in lines:
            if "id" in line:
                found[f"{line['id']}{label}"] = (line["outcome"], line["message"])
        if not lines or lines[-1].get("finished") not in _ORDERLY:
            found[f"{shard.name}{label}"] = (_CRASHED, "pytest did not come to its end")
    return found


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return what `suite_plugin` has written: a line for each test, and a last one where it came to its end."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
