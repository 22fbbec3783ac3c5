"""How the networks of unmodified scripts leave Chainer: sizes, differences and times, and which runtimes load them.

    python benchmarks/public_scripts.py --only train_mnist.py --keep JOBS
    python benchmarks/portability.py --jobs JOBS [--runtime PYTHON]... [--report FILE]

JOBS has the jobs that the first command keeps; a job of the built-in trainer is added. Each PYTHON is an interpreter
with onnxruntime and NumPy: it loads each file, and compares its answers to the evidence's inputs with Chainer's.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-training" / "bin" / "python"
RESULT = ROOT / "benchmarks" / "results" / "portability.md"
_RUN = """
import sys, platform, numpy as np, onnxruntime
print("ONNX Runtime", onnxruntime.__version__ + ", Python", platform.python_version() + ", NumPy", np.__version__)
for line in sys.stdin.read().splitlines():
    model, evidence = line.split("\\t")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(evidence) as arrays:
        given = {i.name: arrays["inputs/" + i.name] for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        pairs = [(arrays["outputs/" + n], got) for n, got in zip(names, session.run(None, given))]
    print(max(float(np.abs(want.astype(float) - got).max()) for want, got in pairs))
"""
_COST = """
import training_job, timeit, chainer, numpy as np
from training_job.hooks import link_calls
class Empty(chainer.Link):
    def __call__(self, x):
        return x
link_calls.wrap(Empty)
link, other, x = Empty(), Empty(), np.zeros(1, "f")
other(x)  # which keeps the wrapper in place
first = min(timeit.repeat(lambda: link(x), number=1, repeat=20))
later = min(timeit.repeat(lambda: link(x), number=30, repeat=60)) / 30
assert isinstance(vars(Empty)["__call__"], link_calls._RecordedMethod)
link_calls.remove_all()
plain = min(timeit.repeat(lambda: link(x), number=30, repeat=60)) / 30
print(f"{(first - plain) * 1e6:.0f} µs for each recorded call, and {(later - plain) * 1e6:.1f} µs for each later one")
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An exported network of a job."""

    job: str
    name: str
    inputs: str
    size: int
    parity: dict[str, Any]
    onnx: Path
    evidence: Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=Path, required=True, help="folder that public_scripts.py has kept")
    parser.add_argument("--runtime", type=Path, action="append", default=[], help="a Python with onnxruntime")
    parser.add_argument("--report", type=Path, help=f"write the table here, such as {RESULT.relative_to(ROOT)}")
    options = parser.parse_args(argv)
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for job in [
            *sorted(options.jobs.iterdir()),
            _built_in(Path(temporary) / "built-in trainer (pictures of bytes)"),
        ]:
            found = job / "job" / ".kedja" / "export" / "exports.json"
            if found.is_file():
                document = json.loads(found.read_text())
                rows += [_row(job.name, found.parent, network) for network in document["networks"]]
                failures += [f"{_job_name(job.name)}: {one['link']}: {one['reason']}" for one in document["failures"]]
        loaded = [_load(python, rows) for python in [PYTHON, *options.runtime]]
    text = _table(rows, loaded, failures)
    print(text)
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    return 0


def _built_in(place: Path) -> Path:
    """Run the built-in trainer on random pictures, as in a job."""
    folder, data = place / "job", place / "data"
    for path in (folder / ".kedja", data):
        path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    y: Any = np.arange(400) % 10
    x = (rng.random((400, 28, 28)) * 100 + y[:, None, None] * 15).astype(np.uint8)
    np.savez(data / "digits.npz", x=x, y=y)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KEDJA_METRICS": str(folder / ".kedja" / "metrics.jsonl")}
    command = [str(PYTHON), "-m", "training_job.train", "--data", str(data), "--epochs", "1", "--gpu_id", "-1"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return place


def _row(job: str, folder: Path, network: dict[str, Any]) -> Row:
    onnx, parity = folder / network["onnx"], folder / network["parity"]
    shapes = ", ".join(f"{one['dtype']} ({', '.join(map(str, one['shape']))})" for one in network["inputs"])
    return Row(
        job=_job_name(job),
        name=f"{network['link']}.{network['method']}",
        inputs=shapes,
        size=onnx.stat().st_size,
        parity=json.loads(parity.read_text()),
        onnx=onnx,
        evidence=parity.with_suffix(".npz"),
    )


def _job_name(folder: str) -> str:
    return folder.replace("_", " ", 1) if " " not in folder else folder


def _load(python: Path, rows: Sequence[Row]) -> tuple[str, list[float | str]]:
    """Return what the runtime calls itself, and the largest difference of each file, or its error."""
    lines = "".join(f"{row.onnx}\t{row.evidence}\n" for row in rows)
    done = subprocess.run([str(python), "-c", _RUN], input=lines, capture_output=True, text=True, check=False)
    name, *found = done.stdout.splitlines() or ["no runtime"]
    answers: list[float | str] = [float(line) for line in found]
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        answers += ["fails"] * (len(rows) - len(found))
    return name, answers


def _table(rows: Sequence[Row], loaded: Sequence[tuple[str, list[float | str]]], failures: Sequence[str]) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    verified = sum(bool(row.parity["verified"]) for row in rows)
    summary = (
        f"{len(rows)} networks of scripts that were not changed, and of the built-in trainer ({machine}); {verified} "
        "are verified. `benchmarks/portability.py` made this table. The difference is the largest to Chainer's answers "
        "in each runtime. The seconds are those of export and comparison, on a machine that did other work too."
    )
    cost = subprocess.run(
        [str(PYTHON), "-c", _COST], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    summary += f" A Link's call costs {cost} while the wrapper is there, and nothing when it is gone."
    runtimes = "".join(f" {name} |" for name, _ in loaded)
    lines = ["# How networks leave Chainer", "", summary, ""]
    lines.append(f"| script | network | inputs | MB | seconds | verified on | difference |{runtimes}")
    lines.append("|---" * (7 + len(loaded)) + "|")
    for index, row in enumerate(rows):
        difference = max(one["absolute"] for one in row.parity["outputs"].values())
        samples = f"{row.parity['samples']} inputs" if row.parity["verified"] else "not verified"
        cells = [row.job, f"`{row.name}`", row.inputs, f"{row.size / 1e6:.1f}", f"{row.parity['seconds']:.1f}", samples]
        cells += [f"{difference:.1e}", *(_shown(answers[index]) for _, answers in loaded)]
        lines.append(f"| {' | '.join(cells)} |")
    if failures:
        lines += ["", "What could not be exported:", "", *(f"- {failure}" for failure in failures)]
    return "\n".join(lines) + "\n"


def _shown(answer: float | str) -> str:
    return answer if isinstance(answer, str) else f"{answer:.1e}"


if __name__ == "__main__":
    sys.exit(main())
