"""The built-in trainer's options, and how it continues after an interruption."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.drops import ROOT, Drop
from training_job import score, train
from training_job.errors import ModelError
from training_job.trainer import networks
from training_job.trainer.figures import plots
from training_job.trainer.fitted import Curve
from training_job.trainer.loop import SCHEDULES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    y: Any = np.arange(120) % 3
    x = (np.array([[0, 0], [5, 0], [0, 5]])[y] + rng.normal(0, 0.5, (120, 2))).astype(np.float32)
    np.savez(folder / "blobs.npz", x=x, y=y)
    return folder


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "REGISTRY", dict(networks.REGISTRY))
    monkeypatch.chdir(tmp_path)


def run(data: Path, *more: str) -> int:
    return train.main(["--data", str(data), "-g", "-1", "-e", "4", "-b", "10", *more])


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


NETWORK = """
import chainer
import chainer.functions as F
import chainer.links as L

class Wide(chainer.Chain):
    def __init__(self, *, inputs, classes, width=10, word="no"):
        super().__init__()
        assert word == "yes"
        with self.init_scope():
            self.first, self.last = L.Linear(*inputs, width), L.Linear(width, classes)

    def forward(self, x):
        return self.last(F.tanh(self.first(x)))
"""


def test_a_network_of_a_dropped_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "networks.py").write_text(NETWORK)
    assert run(data, "--network", "wide", "--option", "width=30", "--option", "word=yes") == 0
    document = json.loads((tmp_path / "outputs/model.json").read_text())
    assert (document["architecture"], document["networks"]) == ("wide", "networks.py")
    assert document["options"] == {"inputs": [2], "classes": 3, "width": 30, "word": "yes"}
    assert (tmp_path / "outputs/networks.py").read_text() == NETWORK
    del networks.REGISTRY["wide"]
    with pytest.raises(ModelError, match=r"give --networks outputs/networks\.py, which runs that file"):
        score.load_model(Path("outputs"))
    arguments = ["--model", "outputs", "--networks", "outputs/networks.py", "--data", str(data / "blobs.npz")]
    capsys.readouterr()
    assert score.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "holds no class derived from chainer.Chain"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("def x(:", "cannot be loaded: SyntaxError"),
        ("import chainer\nclass Mlp(chainer.Chain): pass", "has a network named 'mlp', as Kedja has"),
        (None, "is no file"),
    ],
)
def test_a_file_of_networks_that_cannot_be_used(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    assert run(data, "--networks", "own.py") == 65
    assert message in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_a_network_of_the_file_alone_needs_no_file_beside_the_others(data: Path, tmp_path: Path) -> None:
    (tmp_path / "networks.py").write_text(NETWORK)
    assert run(data) == 0
    assert json.loads((tmp_path / "outputs/model.json").read_text())["networks"] is None
    assert not (tmp_path / "outputs/networks.py").exists()


def test_training_ends_when_patience_is_lost(data: Path, tmp_path: Path) -> None:
    # A rate that is too high: nothing gets better for long.
    assert run(data, "-e", "50", "--patience", "3", "--learning-rate", "3", "--schedule", "constant") == 0
    found = metrics_of(tmp_path / "outputs")
    assert len(found["epochs"]) == found["epoch"] + 3 < 50


def test_the_last_epoch_is_kept_beside_the_best(data: Path, tmp_path: Path) -> None:
    assert run(data, "--learning-rate", "3", "--schedule", "constant", "-e", "6") == 0
    with np.load(tmp_path / "outputs/last.npz") as last, np.load(tmp_path / "outputs/model.npz") as best:
        assert sorted(last.files) == sorted(best.files)
        assert any(not np.array_equal(last[name], best[name]) for name in last.files)


def test_weights_of_an_earlier_model_are_a_beginning(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "-o", "first", "-e", "8") == 0
    assert run(data, "-o", "second", "-e", "1", "--resume", "first", "--learning-rate", "1e-9") == 0
    first, second = metrics_of(tmp_path / "first"), metrics_of(tmp_path / "second")
    assert second["validation_loss"] == pytest.approx(first["validation_loss"], rel=1e-3)
    assert run(data, "-o", "third", "--resume", "first", "--hidden", "7") == 65
    assert "does not fit the network Mlp" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_mixed_precision_needs_a_gpu(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "--mixed") == 65
    assert "--mixed needs a GPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.5, 0.25, 0]),
        ("cosine", [1, 0.5, 0.1464, 0]),
        ("step", [1, 0.1, 0.01, 0.01]),
    ],
)
def test_schedules(schedule: str, shares: list[float]) -> None:
    assert [SCHEDULES[schedule](done) for done in (0, 0.5, 0.75, 1)] == pytest.approx(shares, abs=1e-4)


@pytest.mark.parametrize("argument", ["width", "1a=3", "=3"])
def test_options_of_a_network_have_a_name_and_a_value(argument: str) -> None:
    with pytest.raises(SystemExit):
        train.main(["--option", argument])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--epochs x", "argument --epochs/-e: 'x' is no whole number"),
        ("--epochs 0", "argument --epochs/-e: 0 is not above 0"),
        ("--gpu_id first", "argument --gpu_id/-g: 'first' is no whole number"),
        ("--momentum much", "argument --momentum: 'much' is no number"),
        ("--learning-rate x", "'x' is no number"),
        ("--learning-rate inf", "inf is not above 0 and finite"),
        ("--hidden 10,x", "argument --hidden: 'x' is no whole number"),
        ("--seed 1.5", "argument --seed: '1.5' is no whole number"),
        ("--seed 5000000000", "argument --seed: 5000000000 is above 4294967295"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_should_be(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main(arguments.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_terminal_shows_progress_and_a_log_does_not(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training_job.train", "--data", str(data), "-g", "-1", "-e", "3", "-b", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    plain = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert plain.stderr == ""
    assert [line.split()[0] for line in plain.stdout.splitlines()] == [
        "It", "one", "epoch", "epoch", "epoch", "Accuracy", "the", "model.onnx",
    ]  # fmt: skip
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as shown:
        subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=terminal, check=True)
        os.close(terminal)
        text = io.BytesIO()
        try:
            while block := shown.read(4096):
                text.write(block)
        except OSError:  # how Linux says that the other end is closed
            pass
    assert b"\repoch 1/3 [" in text.getvalue()


def test_a_curve_of_numbers_that_are_none(tmp_path: Path) -> None:
    nan = float("nan")
    plots.curves([Curve(title="loss", training=[nan], validation=[nan], kept=1)], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_a_matrix_of_many_classes(tmp_path: Path) -> None:
    plots.confusion_matrix(np.eye(300, dtype=int), [str(number) for number in range(300)], tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").exists()


def arrays_of(folder: Path) -> dict[str, Any]:
    with np.load(folder / "outputs/model.npz") as archive:
        return {name: archive[name] for name in archive.files}


# The trainer runs the dropped networks.py, which makes it wait for a signal in the middle of an epoch, shortly after it
# has kept a checkpoint.
HOLD = """
    import os, select, signal
    import chainer
    from training_job import checkpoints
    from training_job.trainer.progress import ProgressBar

    class Unused(chainer.Chain):
        pass

    ready, wake = os.pipe()
    os.set_blocking(wake, False)

    def hold(bar, number, done):
        if str(number) != os.environ.get("HOLD_AT"):
            return
        checkpoints._MIN_TRAINING_RATIO = 0
        if done > 0.2:
            signal.set_wakeup_fd(wake)
            print("held", flush=True)
            assert select.select([ready], [], [], 60)[0], "no signal came"
            del os.environ["HOLD_AT"]

    ProgressBar.show = hold
    """
ARGUMENTS = ("python", "-m", "training_job.train", "-e", "40", "-b", "2", "-g", "-1", "--hidden", "40")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dropout", ["0", pytest.param("0.3", marks=pytest.mark.slow)])
def test_training_goes_on_after_it_was_ended(drop: Drop, data: Path, number: int, dropout: str) -> None:
    drop.data = {"blobs.npz": (data / "blobs.npz").read_bytes()}
    drop.scripts = {"networks.py": HOLD}
    arguments = (*ARGUMENTS, "--dropout", dropout)
    straight = drop.launch(*arguments)
    assert straight.code == 0, straight.errors
    weights = arrays_of(straight.folder)
    metrics = (straight.folder / "outputs/metrics.json").read_bytes()
    straight.folder.rename(drop.root / "straight")
    folder = drop.root / "job"
    folder.mkdir()
    for epoch in (5, 20):
        process = subprocess.Popen(
            drop.command(*arguments), cwd=folder, stdout=subprocess.PIPE, text=True,
            env=drop.environment(KEDJA_CHECKPOINT_SECONDS="0", HOLD_AT=str(epoch)),
        )  # fmt: skip
        assert process.stdout is not None
        assert any(line == "held\n" for line in process.stdout)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (143 if number == signal.SIGTERM else -9)
        assert not (folder / "outputs/model.npz").exists()
    ended = drop.launch(*arguments)
    assert ended.code == 0, ended.errors
    first = next(line for line in ended.output.splitlines() if line.startswith("epoch"))
    assert first.startswith("epoch 20/")
    assert (ended.folder / "outputs/metrics.json").read_bytes() == metrics
    found = arrays_of(ended.folder)
    assert sorted(found) == sorted(weights)
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def saved(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


GOOD: Any = np.zeros((6, 2), np.float32)
CLASSES: Any = np.array([0, 1, 0, 1, 0, 1])
INFINITE: Any = np.array([[0, 1], [0, np.inf], [0, 0], [0, 0], [0, 0], [0, 0]])
# What each kind of wrong data is refused with is in trainer/datasets/refused.py.
BAD: dict[str, tuple[str, bytes, str]] = {
    "lone classes": ("d.csv", b"a,label\n1,0\n2,1\n", "class 0 of d.csv has one example: two at least are needed"),
    "text array": ("d.npz", saved(x=GOOD.astype(str), y=CLASSES), "'x' of d.npz holds <U32: save numbers"),
    "infinite": (
        "d.npz",
        saved(x=INFINITE, y=CLASSES),
        "'x' of d.npz holds inf in row 1 at (1,): finite numbers are expected",
    ),
    "one class": ("d.npz", saved(x=GOOD, y=CLASSES * 0), "'y' of d.npz holds one class only (0), in all 6 examples"),
    "equal": ("d.npz", saved(x=GOOD, y=CLASSES), "nothing of d.npz can be held out, as its examples are equal"),
    "wrong count": ("d.npz", saved(x=GOOD, y=CLASSES[:4]), "'x' of d.npz has 6 examples and 'y' of d.npz has 4"),
    "truncated": ("d.npz", saved(x=GOOD, y=CLASSES)[:-50], "d.npz is no .npz archive, or is truncated"),
    "pickled": ("d.npz", saved(x=GOOD, y=np.array([{}] * 6)), "'y' of d.npz holds pickled Python objects"),
    "missing key": ("d.npz", saved(x=GOOD, z=CLASSES), "d.npz holds x, z: save arrays x and y"),
    "damaged": ("d.parquet", b"PAR1", "d.parquet is no Parquet file, or is damaged"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_data_ends_in_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    name, content, message = BAD[kind]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / name).write_bytes(content)
    (tmp_path / "outputs").mkdir()
    assert run(tmp_path / "bad") == 65
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert list((tmp_path / "outputs").iterdir()) == []


def test_one_rank_alone_trains(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    assert run(data) == 0
    assert "rank 1 has nothing to do" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()
