"""A model scores the raw files that it was trained on, by its input.json, and predicts test files without labels."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training_job import score, train
from training_job.errors import DatasetError, ModelError
from training_job.trainer.datasets import examples, inputs
from training_job.trainer.datasets.table import Table, Unlabelled

HEADER = "size,colour,when,kind\n"


def lines(count: int, first: int = 0, *, labelled: bool = True) -> str:
    """Return rows whose size says which kind they are."""
    rng = np.random.default_rng(first)
    rows = []
    for number in range(first, first + count):
        kind = number % 2
        size = "" if number % 19 == 0 else f"{5 * kind + rng.normal(0, 0.5):.3f}"
        row = [size, ("red", "blue", "green")[number % 3], f"2020-0{number % 9 + 1}-11", ("cat", "dog")[kind]]
        rows.append(",".join(row if labelled else row[:-1]))
    return "\n".join(rows) + "\n"


def run(data: Path, output: Path, *more: str) -> int:
    return train.main(["--data", str(data), "-o", str(output), "-g", "-1", "-e", "20", "-b", "10", *more])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text(HEADER + lines(120))
    (data / "test.csv").write_text("colour,size,when\nred,0.1,2020-01-11\npurple,5.2,\n")
    assert run(data, tmp_path / "model") == 0
    return tmp_path / "model"


def scored(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert score.main(["--model", str(model), "--data", str(data)]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_raw_table_is_scored(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "more.csv").write_text(HEADER + lines(50, 200))
    document = scored(model, tmp_path / "more.csv", capsys)
    assert document["count"] == 50
    assert document["accuracy"] > 0.9


def test_columns_are_found_by_name_whatever_the_layout(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.csv").write_text("when;size;extra;colour\n2020-05-11;0,1;x;red\n2020-05-11;5,3;y;red\n")
    assert scored(model, tmp_path / "more.csv", capsys) == {"count": 2, "predictions": ["cat", "dog"]}


def test_a_table_that_lacks_a_column_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.csv").write_text("when,size\n2020-05-11,1\n")
    assert score.main(["--model", str(model), "--data", str(tmp_path / "more.csv")]) == 65
    assert "more.csv lacks column colour, which the model was trained with: add it" in capsys.readouterr().err


def test_a_test_file_without_labels_is_predicted(model: Path) -> None:
    with (model / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["row"], row["prediction"]) for row in rows] == [("1", "cat"), ("2", "dog")]
    for row in rows:
        assert float(row["probability of cat"]) + float(row["probability of dog"]) == pytest.approx(1, abs=1e-5)


def test_input_json_describes_the_table(model: Path) -> None:
    document = json.loads((model / inputs.NAME).read_text())
    assert (document["task"], document["label"], document["classes"]) == ("classification", "kind", ["cat", "dog"])
    assert [column["kind"] for column in document["columns"]] == ["number", "category", "date"]
    assert inputs.Inputs.from_json(document).to_json() == document
    assert inputs.load(model.parent) is None


@pytest.mark.parametrize("text", ["junk", "{}", '{"version": 2}', '{"version": 1, "kind": "table"}', "[]"])
def test_a_damaged_description_is_refused(model: Path, text: str) -> None:
    (model / inputs.NAME).write_text(text)
    with pytest.raises(ModelError, match=r"input\.json is no description of a model's inputs"):
        inputs.load(model)


def test_pictures_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("cat", 20), ("dog", 220)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (20, 20), value + number).save(tmp_path / "data" / name / f"{number}.png")
    assert run(tmp_path / "data", tmp_path / "model") == 0
    assert scored(tmp_path / "model", tmp_path / "data", capsys) == {"count": 20, "accuracy": 1.0}
    Image.new("RGB", (90, 30), "black").save(tmp_path / "one.jpg")
    assert scored(tmp_path / "model", tmp_path / "one.jpg", capsys) == {"count": 1, "predictions": ["cat"]}


def test_arrays_with_gaps_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    y: Any = np.arange(80) % 2
    x = np.where(rng.random((80, 3)) < 0.1, np.nan, rng.normal(5 * y[:, None], 1, (80, 3)))
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "a.npz", x=x, y=y)
    assert run(tmp_path / "data", tmp_path / "model") == 0
    assert scored(tmp_path / "model", tmp_path / "data" / "a.npz", capsys)["accuracy"] > 0.9


def test_the_notes_reach_the_receipt(
    records: Callable[[], list[dict[str, Any]]], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("model")
    notes = [record["note"] for record in records() if "note" in record]
    assert "Column 'kind' is the label (the only one that test.csv lacks; --label names another one)." in notes


@pytest.mark.parametrize("labelled", [True, False])
def test_examples_have_labels_if_the_file_has(tmp_path: Path, model: Path, labelled: bool) -> None:  # noqa: FBT001 - a parameter
    described = inputs.load(model)
    assert described is not None
    (tmp_path / "a.csv").write_text((HEADER if labelled else "size,colour,when\n") + lines(4, labelled=labelled))
    found = examples.read(tmp_path / "a.csv", described)
    assert isinstance(found, Table if labelled else Unlabelled)
    assert found.x.shape == (4, sum(len(column.inputs) for column in described.columns))


def test_labels_that_the_model_does_not_know_are_refused(tmp_path: Path, model: Path) -> None:
    described = inputs.load(model)
    assert described is not None
    (tmp_path / "a.csv").write_text(HEADER + "1,red,2020-01-01,cow\n")
    with pytest.raises(
        DatasetError, match=r"line 2 of a\.csv has class 'cow' in column 'kind', which the model does not"
    ):
        examples.read(tmp_path / "a.csv", described)
