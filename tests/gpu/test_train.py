"""The built-in trainer and a Trainer script on a real GPU."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.drops import Drop

PICTURES = 400


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    """Return a drop of pictures, each with a bright square that says its class."""
    rng = np.random.default_rng(0)
    y: Any = np.arange(PICTURES) % 4
    x = rng.integers(0, 60, (PICTURES, 28, 28)).astype(np.uint8)
    for picture, label in zip(x, y, strict=True):
        picture[4 + 14 * (label // 2) : 10 + 14 * (label // 2), 4 + 14 * (label % 2) : 10 + 14 * (label % 2)] = 255
    np.savez(tmp_path / "squares.npz", x=x, y=y)
    return Drop(tmp_path, data={"squares.npz": (tmp_path / "squares.npz").read_bytes()})


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("more", [(), ("--mixed",)])
def test_the_built_in_trainer_learns_on_a_gpu(drop: Drop, network: str, more: tuple[str, ...]) -> None:
    ended = drop.launch("python", "-m", "training_job.train", "-g", "0", "-e", "5", "--network", network, *more)
    assert ended.code == 0, ended.errors
    assert "@cupy:0" in ended.output
    assert ended.metrics["accuracy"] > 0.9
    for gpu in ("-1", "0"):
        data = str(drop.data_folder / "squares.npz")
        command = [sys.executable, "-m", "training_job.score", "--model", "outputs", "--data", data, "-g", gpu]
        scored = subprocess.run(
            command, cwd=ended.folder, env=drop.environment(), capture_output=True, text=True, check=True
        )
        assert json.loads(scored.stdout)["accuracy"] > 0.9


SCRIPT = """
    import os
    import chainer, numpy as np
    import chainer.links as L
    from chainer import training
    from chainer.training import extensions

    device = chainer.get_device("@cupy:0")
    device.use()
    with np.load(os.environ["KEDJA_DATA"] + "/squares.npz") as archive:
        x, y = archive["x"].reshape(-1, 784).astype("f") / 255, archive["y"].astype("i")
    train = chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(x, y), 20)
    model = L.Classifier(chainer.Sequential(L.Linear(784, 50), chainer.functions.relu, L.Linear(50, 4)))
    model.to_device(device)
    optimizer = chainer.optimizers.Adam().setup(model)
    updater = training.StandardUpdater(train, optimizer, device=device)
    trainer = training.Trainer(updater, (40, "epoch"), out="outputs")
    trainer.extend(extensions.LogReport(trigger=(1, "epoch")))
    trainer.extend(lambda trainer: print("iteration", trainer.updater.iteration, flush=True), name="say")
    trainer.run()
    chainer.serializers.save_npz("outputs/model.npz", model)
    """


def test_a_trainer_script_goes_on_after_sigterm(drop: Drop) -> None:
    drop.scripts = {"train.py": SCRIPT}
    drop.write()
    folder = drop.root / "job"
    folder.mkdir()
    process = subprocess.Popen(
        drop.command("python", "train.py", "--gpu", "0"), cwd=folder, env=drop.environment(),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == "iteration 100\n":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    ended = drop.launch("python", "train.py", "--gpu", "0")
    assert ended.code == 0, ended.errors
    assert "continuing from the checkpoint of iteration 1" in ended.errors
    assert ended.metrics["main/accuracy"] > 0.9


def test_a_gpu_out_of_memory_is_told_apart(drop: Drop) -> None:
    drop.scripts = {"train.py": "import cupy; cupy.zeros(1 << 50)"}
    ended = drop.launch("python", "train.py")
    assert ended.manifest["out_of_memory"] is True
