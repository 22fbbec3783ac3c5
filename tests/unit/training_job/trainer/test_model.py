"""The built-in trainer, from raw examples to a scored model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import numpy as np
import pytest
from PIL import Image

from training_job import device, score, train
from training_job.errors import DeviceError, ModelError
from training_job.trainer import model_file, networks
from training_job.trainer.datasets.table import Split, Table
from training_job.trainer.loop import Epoch, Options, Trainer
from training_job.trainer.preprocessing import Preprocessor, choose_preprocessor


def blobs(count: int = 120, seed: int = 0) -> tuple[Any, Any]:
    """Points around three corners."""
    rng = np.random.default_rng(seed)
    y: Any = np.arange(count) % 3
    return (np.array([[0, 0], [5, 0], [0, 5]])[y] + rng.normal(0, 0.5, (count, 2))).astype(np.float32), y


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    x, y = blobs()
    np.savez(folder / "blobs.npz", x=x, y=y)
    return folder


def run(data: Path, output: Path, *more: str) -> int:
    return train.main(["--data", str(data), "-o", str(output), "-g", "-1", "-e", "4", "-b", "10", *more])


def test_the_seeds_network_is_the_default() -> None:
    network = networks.build("mlp", {"inputs": [784], "classes": 10})
    assert [link.W.shape for link in (*network.hidden, network.output)] == [(100, 784), (100, 100), (10, 100)]


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (1, 17, 31)])
def test_the_convolutional_network_takes_pictures(shape: tuple[int, ...]) -> None:
    network = networks.build("cnn", {"inputs": shape, "classes": 4})
    assert network(np.zeros((2, *shape), np.float32)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rnn", {}, "no network is named 'rnn': one of mlp, cnn"),
        ("mlp", {"inputs": [3], "classes": 2, "depth": 1}, "does not take the options"),
        ("cnn", {"inputs": [1, 8, 8], "classes": 2}, "at least 16 x 16"),
        ("cnn", {"inputs": [784], "classes": 2}, "takes pictures"),
    ],
)
def test_networks_that_cannot_be_made(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        networks.build(name, options)


def test_values_are_standardised() -> None:
    x = np.array([[1, 5, 7], [3, 5, 9]], np.float32)
    preprocessor = choose_preprocessor(x)
    assert preprocessor.prepare(x).tolist() == [[-1, 0, -1], [1, 0, 1]]
    assert not preprocessor.are_pictures


@pytest.mark.parametrize(
    ("x", "shape", "most"),
    [
        (np.full((2, 784), 255, np.uint8), (1, 28, 28), 1),
        (np.full((2, 784), 255, np.float32), (1, 28, 28), 1),
        (np.full((2, 20, 16), 255, np.uint8), (1, 20, 16), 1),
        (np.full((2, 3, 16, 20), 1, np.float32), (3, 16, 20), 1),
        (np.full((2, 16, 16), 1, np.uint8), (1, 16, 16), 1 / 255),
    ],
)
def test_pictures_go_from_0_to_1(x: Any, shape: tuple[int, ...], most: float) -> None:  # noqa: ANN401 - an array
    preprocessor = choose_preprocessor(x)
    prepared = preprocessor.prepare(x)
    assert (prepared.shape, prepared.dtype, preprocessor.are_pictures) == ((2, *shape), np.float32, True)
    assert prepared.max() == pytest.approx(most)


def test_inputs_survive_json() -> None:
    preprocessor = choose_preprocessor(blobs()[0])
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    assert np.array_equal(again.prepare(blobs()[0]), preprocessor.prepare(blobs()[0]))


def test_training_writes_a_model_that_scores(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], records: Callable[[], list[dict[str, Any]]]
) -> None:
    assert run(data, tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("It is a classification, as the labels")
    assert [line.split()[:2] for line in lines[2:6]] == [["epoch", f"{number}/4"] for number in range(1, 5)]
    made = {path.name for path in (tmp_path / "out").iterdir()} - {"model.onnx"}
    assert made == {
        "confusion_matrix.png", "curves.png", "input.json", "last.npz", "metrics.json", "model.json", "model.npz",
    }  # fmt: skip
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["accuracy"] > 0.9
    assert [epoch["number"] for epoch in metrics["epochs"]] == [1, 2, 3, 4]
    counts = np.array(metrics["confusion_matrix"])
    assert counts.sum(axis=1).tolist() == [8, 8, 8]
    assert np.trace(counts) / counts.sum() == pytest.approx(metrics["accuracy"])
    for name in ("confusion_matrix.png", "curves.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 3
    assert next(record["note"] for record in records() if "note" in record) == lines[0]
    logged = {(record["metric"], record["step"]) for record in records() if "metric" in record}
    assert logged >= {
        (name, step)
        for name in ("loss", "train_accuracy", "validation_loss", "validation_accuracy")
        for step in range(1, 5)
    }
    assert {name for name, step in logged if step is None} >= {"accuracy", "accuracy_low", "accuracy_high", "macro_f1"}
    model = score.load_model(tmp_path / "out")
    x, y = blobs(seed=1)
    scores = model.scores(x)
    assert (scores.shape, scores.dtype) == ((120, 3), np.float32)
    assert scores.sum(axis=1) == pytest.approx(1)
    assert (model.predict(x) == y).mean() > 0.9


def test_a_seed_gives_the_same_weights(data: Path, tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert run(data, tmp_path / name, "--seed", seed) == 0
        with np.load(tmp_path / name / "model.npz") as arrays:
            weights.append({key: arrays[key] for key in arrays.files})
    same, again, other = weights
    assert all(np.array_equal(same[key], again[key]) for key in same)
    assert any(not np.array_equal(same[key], other[key]) for key in same)


def table(x: Any, y: Any) -> Table:  # noqa: ANN401 - arrays
    return Table(x=x, y=y.astype(np.int32), source="blobs", classes=("0", "1", "2"))


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_every_optimizer_learns(optimizer: str, schedule: str) -> None:
    np.random.seed(0)  # noqa: NPY002 - what Chainer draws from
    split = Split(train=table(*blobs()), held_out=table(*blobs(30, seed=1)))
    network = networks.build("mlp", {"inputs": [2], "classes": 3, "hidden": [20]})
    options = Options(epochs=8, batch_size=10, optimizer=optimizer, schedule=schedule)
    reported: list[Epoch] = []
    result = Trainer(network, split, choose_preprocessor(split.train.x), options, device.choose(-1)).run(
        reported.append
    )
    assert result.epochs == tuple(reported)
    assert result.best.validation_accuracy == max(epoch.validation_accuracy or 0 for epoch in reported)
    assert (result.best.validation_accuracy or 0) > 0.9


def test_the_best_network_is_kept_and_measured_over_all_examples() -> None:
    np.random.seed(0)  # noqa: NPY002 - what Chainer draws from
    x, y = blobs(31, seed=1)
    split = Split(train=table(*blobs()), held_out=table(x, y))
    preprocessor = choose_preprocessor(split.train.x)
    network = networks.build("mlp", {"inputs": [2], "classes": 3, "hidden": [4], "dropout": 0.5})
    # A rate that is far too high: the epochs differ, and the last one is not the best.
    options = Options(epochs=6, batch_size=7, learning_rate=3.0, schedule="constant", seed=1)
    result = Trainer(network, split, preprocessor, options, device.choose(-1)).run(lambda _: None)
    assert len({epoch.validation_accuracy for epoch in result.epochs}) > 1
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        scores = result.network(preprocessor.prepare(x))
    assert (scores.array.argmax(axis=1) == y).mean() == pytest.approx(result.best.validation_accuracy)
    loss = chainer.functions.softmax_cross_entropy(scores, y.astype(np.int32)).array
    assert float(loss) == pytest.approx(result.best.validation_loss, rel=1e-5)


def test_losses_are_weighted_by_the_size_of_the_batch() -> None:
    split = Split(train=table(*blobs(25)), held_out=table(*blobs(9)))
    network = networks.build("mlp", {"inputs": [2], "classes": 3, "hidden": [4]})
    preprocessor = choose_preprocessor(split.train.x)
    before = chainer.functions.softmax_cross_entropy(network(preprocessor.prepare(split.train.x)), split.train.y).array
    options = Options(epochs=1, batch_size=10, learning_rate=1e-30, optimizer="sgd")
    result = Trainer(network, split, preprocessor, options, device.choose(-1)).run(lambda _: None)
    assert result.best.loss == pytest.approx(float(before), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "cnn"], "takes pictures of at least 16 x 16"),
        (["-g", "5"], "GPU 5 was requested and none can be used here"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(data, tmp_path / "out", *arguments) == 65
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_data_is_named_by_the_environment(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_DATA", str(data))
    assert train.main(["-o", str(tmp_path / "out"), "-g", "-1", "-e", "1"]) == 0
    monkeypatch.delenv("KEDJA_DATA")
    assert train.main(["-o", str(tmp_path / "out"), "-g", "-1", "-e", "1"]) == 65


@pytest.mark.parametrize(
    "arguments", [["-e", "0"], ["-b", "x"], ["--dropout", "1"], ["--hidden", "5,0"], ["--shift", "-1"]]
)
def test_options_that_make_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        train.main(arguments)
    assert raised.value.code == 2


def test_a_gpu_is_taken_if_one_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_gpus", lambda: 0)
    assert device.choose(None).name == "@numpy"
    with pytest.raises(DeviceError):
        device.choose(0)


@pytest.fixture
def model(data: Path, tmp_path: Path) -> Path:
    assert run(data, tmp_path / "model") == 0
    return tmp_path / "model"


@pytest.mark.parametrize("shape", [(4, 3), (4,), (4, 2, 1)])
def test_examples_of_another_shape_are_refused(model: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"\(N, 2\) of numbers is what this model was trained on"):
        score.load_model(model).scores(np.zeros(shape))


def test_no_example_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="no example"):
        score.load_model(model).scores(np.zeros((0, 2)))


def test_batches_give_what_one_gives(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = blobs()
    whole = score.load_model(model).scores(x)
    monkeypatch.setattr(score, "_BATCH", 7)
    assert score.load_model(model).scores(x) == pytest.approx(whole, rel=1e-5)


def test_the_command_prints_json(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert score.main(["--model", str(model), "--data", str(data / "blobs.npz")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["count"] == 120
    assert printed["accuracy"] > 0.9


def spoil_version(model: Path) -> None:
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))


def spoil_options(model: Path) -> None:
    path = model / "model.json"
    document = json.loads(path.read_text())
    document["options"]["hidden"] = [7]
    path.write_text(json.dumps(document))


def pickle_weights(model: Path) -> None:
    np.savez(model / "model.npz", x=np.array([object()]))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no description": (lambda model: (model / "model.json").unlink(), "model.json is missing"),
    "no weights": (lambda model: (model / "model.npz").unlink(), "model.npz is missing"),
    "junk": (lambda model: (model / "model.json").write_text("junk"), "is no description of a model"),
    "version": (spoil_version, "has version 2"),
    "other network": (spoil_options, "does not fit the network Mlp"),
    "truncated": (lambda model: (model / "model.npz").write_bytes(b"PK\3\4"), "is damaged, or no file of weights"),
    "pickle": (pickle_weights, "model.npz"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_model_is_refused(model: Path, data: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    spoil, message = SPOILT[name]
    spoil(model)
    with pytest.raises(ModelError, match=message):
        score.load_model(model)
    assert score.main(["--model", str(model), "--data", str(data / "blobs.npz")]) == 65
    assert message in capsys.readouterr().err


NETWORK = """
import chainer
from sizes import WIDTH

class Own(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.layer = chainer.links.Linear(2, WIDTH)

    def forward(self, x):
        return self.layer(x)
"""


def test_a_scripts_own_network(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(NETWORK)
    (tmp_path / "sizes.py").write_text("WIDTH = 3")
    own = score._script_network(f"{tmp_path}/own.py:Own")
    own.layer.W.array[...] = [[0, 0], [2, 0], [0, 2]]
    own.layer.b.array[...] = [5, 0, 0]
    chainer.serializers.save_npz(tmp_path / "model.npz", own)
    name = f"{tmp_path}/own.py:Own"
    assert score.main(["--model", str(tmp_path), "--network", name, "--data", str(data / "blobs.npz")]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    with pytest.raises(ModelError, match=r"Own does not take examples of shape \(3,\)"):
        score.load_model(tmp_path, network=name).scores(np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("name", "message"),
    [("no.py:Own", "is no file"), ("own.py", "is no file"), ("own.py:WIDTH", "no Chainer network named")],
)
def test_a_network_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("WIDTH = 3")
    with pytest.raises(ModelError, match=message):
        score.load_model(tmp_path, network=name)


def test_pictures_of_bytes_are_scaled_for_a_scripts_network() -> None:
    assert score._as_float32(np.array([255], np.uint8)).tolist() == [1.0]
    assert score._as_float32(np.array([255.0])).tolist() == [255.0]


def test_a_model_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(chainer.serializers, "save_npz", fail)
    description = model_file.Description(
        architecture="mlp", options={}, preprocessor=choose_preprocessor(blobs()[0]), classes=("0", "1", "2")
    )
    with pytest.raises(OSError, match="disk full"):
        model_file.save(tmp_path, description, None)
    assert list(tmp_path.iterdir()) == []
