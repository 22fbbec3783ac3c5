"""Runs Kedja's own tests of the compatibility layer on every Python and NumPy that docs/chainer.md names.

    python -m tests.chainer_suite.matrix [--report FILE] [--only 3.12]

Each pair has a virtual environment, with Chainer and the newest of everything else that fits. Ends with 1 if one fails.
"""

import argparse
import datetime as dt
import importlib.metadata
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.chainer_suite import sides

_HOOKS = "tests/unit/training_job/hooks"
_TESTS = (f"{_HOOKS}/compat", f"{_HOOKS}/test_import_hook.py")
_SHOWN = ("numpy", "scipy", "protobuf", "setuptools", "onnx")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A Python and a NumPy."""

    python: str
    numpy: str

    @property
    def name(self) -> str:
        """What its environment is called."""
        return f"python-{self.python}-numpy-{self.numpy}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """The packages of its environment."""
        testing = (f"{name}=={importlib.metadata.version(name)}" for name in ("hypothesis", "pytest", "pytest-timeout"))
        rest = ("packaging", "protobuf", "scipy", "setuptools", "onnx")
        return ("chainer==7.8.1", f"numpy=={self.numpy}", *rest, *testing)


PAIRS = tuple(
    Pair(python=python, numpy=numpy)
    for python, numpy in (
        ("3.11", "1.26.4"),
        ("3.11", "2.4.6"),
        ("3.12", "1.26.4"),
        ("3.12", "2.5.5"),
        ("3.13", "2.1.0"),
        ("3.13", "2.3.5"),
        ("3.13", "2.5.5"),
    )
)


def main() -> int:
    """Run the pairs one after the other, print and maybe write the report. Returns the exit code."""
    options = _parse()
    lines = [f"# Kedja's tests of `training_job.hooks.compat` ({dt.datetime.now(dt.UTC):%Y-%m-%d}, CPU)", ""]
    lines += [f"| Python | {' | '.join(_SHOWN)} | result |", f"|{'---|' * (len(_SHOWN) + 2)}"]
    codes = []
    for pair in PAIRS:
        if options.only and pair.python not in options.only:
            continue
        python = sides.environment(pair.python, pair.requirements, options.work / pair.name, options.uv)
        code, result = _run(python)
        codes.append(code)
        lines.append(f"| {' | '.join(_versions(python))} | {result} |")
        sys.stdout.write(f"{pair.name}: {result}\n")
        sys.stdout.flush()
    if options.report is not None:
        options.report.write_text("\n".join(lines) + "\n")
    return int(any(codes))


def _run(python: Path) -> tuple[int, str]:
    arguments = ["-m", "pytest", "--confcutdir=tests/unit/training_job", "-q", "-p", "no:cacheprovider", *_TESTS]
    done = subprocess.run([str(python), *arguments], cwd=sides.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
    said = done.stdout.splitlines()
    return done.returncode, said[-1].partition(" in ")[0].strip("= ") if said else "pytest did not start"


def _versions(python: Path) -> list[str]:
    code = f"import importlib.metadata as m, platform\nprint(platform.python_version(), *map(m.version, {_SHOWN!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.split()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Kedja's tests of the layer on each Python and NumPy.")
    parser.add_argument("--only", nargs="+", help="versions of Python, such as 3.12")
    parser.add_argument("--report", type=Path, help="write the table into this file")
    parser.add_argument("--work", type=Path, default=sides.ROOT / ".kedja/compat-matrix", help="the environments")
    parser.add_argument("--uv", default="uv", help="the program that makes the environments")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
