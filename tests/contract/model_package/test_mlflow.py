"""A package loads in MLflow, without Chainer, and gives what Chainer gave."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.exceptions
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement

from tests.contract.model_package import networks
from tests.contract.model_package.packages import package

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
"""MLflow warns of its own types when it is imported."""


def compared(folder: Path) -> Mapping[str, Any]:
    with np.load(folder / "model-parity.npz") as arrays:
        return dict(arrays)


def load(folder: Path) -> Any:  # noqa: ANN401 - MLflow is not typed
    import mlflow.pyfunc  # noqa: PLC0415 - slow

    return mlflow.pyfunc.load_model(str(folder))


def test_there_is_no_chainer_here() -> None:
    assert importlib.util.find_spec("chainer") is None


def test_arrays_give_the_outputs_of_the_comparison(tmp_path: Path) -> None:
    folder = package(tmp_path, networks.scores)
    arrays, model = compared(folder), load(folder)
    for size in (1, 2, 64):
        found = model.predict(arrays["inputs/x"][:size])
        np.testing.assert_allclose(found["y"], arrays["outputs/y"][:size], rtol=1e-5)


def test_arrays_of_another_type_or_shape_are_refused(tmp_path: Path) -> None:
    model = load(package(tmp_path, networks.pictures))
    for shape, dtype in (((2, 2, 2), np.float32), ((2, 3, 2), np.uint8)):
        with pytest.raises(mlflow.exceptions.MlflowException):
            model.predict(np.zeros(shape, dtype))


def test_columns_are_taken_by_name(tmp_path: Path) -> None:
    folder = package(tmp_path, networks.table)
    arrays = compared(folder)
    columns = {"city": arrays["inputs/city"].astype(object), "more": [1, 2, 3], "age": [10.0, 30.0, 50.0]}
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=object if name == "city" else None) for name, values in columns.items()}
    )
    found = load(folder).predict(frame)
    assert list(found["label"]) == list(arrays["outputs/label"])
    np.testing.assert_allclose(found["p_yes"], arrays["outputs/p_yes"], rtol=1e-6)
    with pytest.raises(mlflow.exceptions.MlflowException, match="age"):
        load(folder).predict(frame.drop(columns="age"))


def test_the_example_is_one(tmp_path: Path) -> None:
    from mlflow.models import Model  # noqa: PLC0415 - slow

    folder = package(tmp_path, networks.scores)
    example = Model.load(str(folder)).load_input_example(str(folder))
    np.testing.assert_array_equal(example, compared(folder)["inputs/x"][:2])
    serving = json.loads((folder / "serving_input_example.json").read_text())
    np.testing.assert_array_equal(np.array(serving["inputs"], np.float32), example)


def test_the_network_that_job_yaml_names_is_the_model(tmp_path: Path) -> None:
    folder = package(
        tmp_path,
        lambda folder, weights: networks.scores(folder, weights, "first", factor=2),
        networks.scores,
    )
    arrays = compared(folder)
    np.testing.assert_allclose(load(folder).predict(arrays["inputs/x"])["y"], arrays["outputs/y"], rtol=1e-5)


def test_the_requirements_are_lines_of_pip(tmp_path: Path) -> None:
    lines = (package(tmp_path, networks.scores) / "requirements.txt").read_text().splitlines()
    names = [Requirement(line).name for line in lines]
    assert names[:4] == ["mlflow", "numpy", "onnxruntime", "pandas"]
    assert "chainer" not in names
