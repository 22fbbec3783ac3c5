"""`python -m training_job.train` on a table, with no option that names a network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_job import score, train
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.table import Dataset, Table
from training_job.trainer.datasets.task import Task

FAST = ("-g", "-1", "--quality", "fast", "--steps", "80")


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def blobs(count: int = 150) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    y: Any = np.arange(count) % 3
    return (np.array([[0, 0], [5, 0], [0, 5]])[y] + rng.normal(0, 0.5, (count, 2))).astype(np.float32), y


def saved(folder: Path, **arrays: Any) -> Path:  # noqa: ANN401 - arrays
    folder.mkdir(exist_ok=True)
    np.savez(folder / "blobs.npz", **arrays)
    return folder


def described(task: Task = Task.CLASSIFICATION) -> Inputs:
    return Inputs(kind=Kind.ARRAYS, task=task, shape=(2,))


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_a_small_table_is_cross_validated_and_trained_on_as_a_whole(tmp_path: Path) -> None:
    x, y = blobs()
    data = saved(tmp_path / "data", x=x, y=y)
    assert train.main(["--data", str(data), "-o", "out", *FAST]) == 0
    found = metrics_of(tmp_path / "out")
    assert found["measured"] == {"split": "cross-validation", "examples": 150}
    assert np.sum(found["confusion_matrix"]) == 150
    assert found["accuracy_low"] < found["accuracy"] == found["boosting_accuracy"] or found["accuracy"] > 0.95
    assert found["baseline_accuracy"] == pytest.approx(1 / 3, abs=0.01)
    document = json.loads((tmp_path / "out/model.json").read_text())
    assert (document["version"], document["architecture"], document["target"]) == (1, "ensemble", None)
    assert len(document["options"]["members"]) % 4 == 0
    model = score.load_model(tmp_path / "out")
    assert (model.predict(x) == y).mean() > 0.95
    assert model.scores(x).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert not (tmp_path / "out/last.npz").exists()


def test_a_seed_gives_the_same_model(tmp_path: Path) -> None:
    x, y = blobs(60)
    data = saved(tmp_path / "data", x=x, y=y)
    weights = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert train.main(["--data", str(data), "-o", name, "--seed", seed, *FAST]) == 0
        with np.load(tmp_path / name / "model.npz") as arrays:
            weights.append({key: arrays[key] for key in arrays.files})
    first, again, other = weights
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other.get(key)) for key in first)


def test_test_data_of_the_user_is_what_the_figure_is_of(tmp_path: Path) -> None:
    x, y = blobs()
    # Labels of the test data are wrong in a fifth: no choice may have looked at them.
    wrong = np.where(np.arange(30) % 5 == 0, (y[:30] + 1) % 3, y[:30])
    data = saved(tmp_path / "data", x=x[30:], y=y[30:], x_test=x[:30], y_test=wrong)
    assert train.main(["--data", str(data), "-o", "out", *FAST]) == 0
    found = metrics_of(tmp_path / "out")
    assert found["measured"] == {"split": "test", "examples": 30}
    assert found["accuracy"] == pytest.approx(0.8)


def test_a_quantity_is_predicted_in_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x, _ = blobs(200)
    y = (1000 + 40 * x[:, 0] - 25 * x[:, 1]).astype(np.float32)
    table = Table(x=x, y=y, source="t.csv", classes=(), task=Task.REGRESSION)
    monkeypatch.setattr(
        train, "find", lambda *_: Dataset(train=table, inputs=described(Task.REGRESSION), notes=("a quantity",))
    )
    for name, more in (("out", FAST), ("single", ("-g", "-1", "-e", "80", "-b", "10"))):
        assert train.main(["--data", ".", "-o", name, *more]) == 0
        found = metrics_of(tmp_path / name)
        assert (found["r2"] > 0.95, found["rmse"] < 30, "accuracy" in found) == (True, True, False)
        assert (tmp_path / name / "residuals.png").exists()
        document = json.loads((tmp_path / name / "model.json").read_text())
        assert document["target"]["mean"] == pytest.approx(y.mean(), rel=0.05)
        predicted = score.load_model(tmp_path / name).predict(x)
        assert np.abs(predicted - y).mean() < 25
    assert "a quantity\n" in capsys.readouterr().out


def test_small_pictures_of_any_range_are_an_ensembles_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y: Any = np.arange(120) % 4
    x = rng.uniform(0, 4, (120, 8, 8))  # as scikit-learn's digits: numbers from 0 to 16
    for picture, label in zip(x, y, strict=True):
        picture[4 * (label // 2) :, 4 * (label % 2) :][1:3, 1:3] = 16
    data = saved(tmp_path / "data", x=x, y=y)
    assert train.main(["--data", str(data), "-o", "out", *FAST, "--steps", "200"]) == 0
    assert metrics_of(tmp_path / "out")["accuracy"] > 0.95
    assert (score.load_model(tmp_path / "out").predict(x) == y).mean() > 0.95
    assert json.loads((tmp_path / "out/model.json").read_text())["options"]["inputs"] == [1, 8, 8]


def test_validation_data_of_the_user_takes_the_place_of_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs()
    table = Table(x=x, y=y.astype(np.int32), source="t.csv", classes=("a", "b", "c"))
    fitted, validation, test = (table.take(slice(*rows)) for rows in ((0, 90), (90, 120), (120, 150)))
    data = Dataset(train=fitted, inputs=described(), validation=validation, test=test)
    monkeypatch.setattr(train, "find", lambda *_: data)
    assert train.main(["--data", ".", "-o", "out", *FAST]) == 0
    assert metrics_of(tmp_path / "out")["measured"] == {"split": "test", "examples": 30}


def test_uneven_classes_are_weighted() -> None:
    from training_job.trainer.bagging.method import class_weights  # noqa: PLC0415 - one test's

    y = np.array([0] * 190 + [1] * 10, np.int32)
    table = Table(x=np.zeros((200, 1), np.float32), y=y, source="t.csv", classes=("0", "1"))
    weights = class_weights(table)
    assert weights[1] / weights[0] == pytest.approx(19**0.5, rel=1e-5)
    assert weights[y].mean() == pytest.approx(1)
    even = replace(table, y=np.arange(200, dtype=np.int32) % 2)
    assert class_weights(even).tolist() == [1, 1]
