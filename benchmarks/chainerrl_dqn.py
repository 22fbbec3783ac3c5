"""Compares ChainerRL's DQN with what it was in its time, and shows that it learns.

`python -m benchmarks.chainerrl_dqn --reference PYTHON --mended PYTHON` runs `contestants/chainerrl_dqn.py` with

- the reference: a Python 3.8 with NumPy 1.19.5, Chainer 7.8.1, ChainerRL 0.8.0, gym 0.22.0 and pygame, without Kedja,
- the mended side: a Python with the packages of the job environment and ChainerRL 0.8.0, with the compatibility layer,

and fails if the first 200 updates differ by more than rounding, or if fewer than two of three seeds reach a mean return
of 150 within 20,000 steps. `--report FILE` writes the numbers as Markdown.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks/contestants/chainerrl_dqn.py"
SEEDS = (0, 1, 2)
UPDATES, STEPS = 200, 20_000
ROUNDING = 1e-4
"""Relative difference that float32's rounding can add up to in 200 updates."""
RETURN, ENOUGH_SEEDS = 150, 2


def run(python: Path, *arguments: str, is_mended: bool) -> Any:  # noqa: ANN401 - what the script prints
    """Return what the script prints, read as JSON.

    Raises:
        subprocess.CalledProcessError: It failed; its errors are on the screen.
    """
    with tempfile.TemporaryDirectory() as job:
        (Path(job) / "train.py").write_bytes(SCRIPT.read_bytes())
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("KEDJA_", "PYTHON"))}
        environment |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        if is_mended:
            paths = (ROOT / "training_job/hooks/compat/startup", ROOT)
            environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "KEDJA_JOB_FOLDER": job}
        command = [str(python), "-W", "ignore", "train.py", *arguments]
        done = subprocess.run(command, cwd=job, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def largest_difference(first: list[list[float]], second: list[list[float]]) -> float:
    """Return the largest relative difference of two lists of numbers, by update."""
    assert len(first) == len(second) == UPDATES, (len(first), len(second))
    pairs = [pair for one, other in zip(first, second, strict=True) for pair in zip(one, other, strict=True)]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)


def report(differences: dict[int, float], learned: dict[int, tuple[float, int]]) -> str:
    """Return the numbers as Markdown."""
    lines = ["# ChainerRL's DQN on CartPole-v0", "", "| seed | largest relative difference of the first 200 updates |"]
    lines += ["|---|---|", *(f"| {seed} | {value:.1e} |" for seed, value in differences.items()), ""]
    lines += [f"| seed | mean return of 20 episodes (max 200; {RETURN} is enough) | after steps |", "|---|---|---|"]
    lines += [f"| {seed} | {value:.1f} | {steps:,} |" for seed, (value, steps) in learned.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run both sides, print the numbers, and return 1 if they are not what they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="the Python of the reference")
    parser.add_argument("--mended", type=Path, required=True, help="the Python that gets the layer")
    parser.add_argument("--report", type=Path, help="the Markdown file to write")
    options = parser.parse_args()
    differences, count = {}, str(UPDATES)
    for seed in SEEDS:
        before = run(options.reference.absolute(), "updates", str(seed), count, is_mended=False)
        today = run(options.mended.absolute(), "updates", str(seed), count, is_mended=True)
        differences[seed] = largest_difference(before, today)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        ran = pool.map(
            lambda seed: run(options.mended.absolute(), "learn", str(seed), str(STEPS), is_mended=True), SEEDS
        )
        learned = {seed: (value, steps) for seed, (value, steps) in zip(SEEDS, ran, strict=True)}
    text = report(differences, learned)
    print(text)
    if options.report is not None:
        options.report.write_text(text)
    enough = sum(value >= RETURN for value, _ in learned.values()) >= ENOUGH_SEEDS
    return 0 if enough and max(differences.values()) <= ROUNDING else 1


if __name__ == "__main__":
    sys.exit(main())
