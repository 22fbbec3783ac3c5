"""Errors that are planted into an exported file: the comparison finds each, and the model is not called verified."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from tests.unit.training_job.export import networks
from training_job.export import onnx_file
from training_job.export.exports import ExportedNetwork

Plant = Callable[[ModelProto], None]


def wrong_weight(model: ModelProto) -> None:
    """One weight of one layer is a tenth larger."""
    tensor = next(one for one in model.graph.initializer if one.name.endswith("l1_W"))
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0] = values[0, 0] * 1.1 + 0.1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def wrong_layout(model: ModelProto) -> None:
    """A square weight is transposed, which changes no shape."""
    tensor = next(one for one in model.graph.initializer if one.name.endswith("l1_W"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).T.copy(), tensor.name))


def wrong_preprocessing(model: ModelProto) -> None:
    """The input is divided by 255 once more."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "x":
                node.input[index] = "scaled"
    constant = helper.make_node("Constant", [], ["white"], value=numpy_helper.from_array(np.array(255, "f"), "white"))
    for node in (helper.make_node("Div", ["x", "white"], ["scaled"]), constant):
        model.graph.node.insert(0, node)


def not_finite(model: ModelProto) -> None:
    """The output is infinite."""
    tensor = next(one for one in model.graph.initializer if one.name.endswith("l2_b"))
    tensor.CopyFrom(numpy_helper.from_array(np.full(3, np.inf, "f"), tensor.name))


def fixed_batch(model: ModelProto) -> None:
    """The file takes a batch of two alone."""
    next(one for one in model.graph.input if one.name == "x").type.tensor_type.shape.dim[0].dim_value = 2
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Plant], ExportedNetwork]:
    def export(plant: Plant) -> ExportedNetwork:
        finish = onnx_file.finish

        def planted(model: ModelProto, metadata: dict[str, str]) -> ModelProto:
            plant(model)
            return finish(model, metadata)

        monkeypatch.setattr(onnx_file, "finish", planted)
        model = networks.Mlp()
        model(networks.rows())
        (network,) = networks.export(tmp_path, {"mlp.npz": model}).networks
        return network

    return export


def test_without_an_error_it_is_verified(exported: Callable[[Plant], ExportedNetwork]) -> None:
    assert exported(lambda _: None).verified


@pytest.mark.parametrize("plant", [wrong_weight, wrong_layout, wrong_preprocessing, not_finite, fixed_batch])
def test_an_error_is_found(exported: Callable[[Plant], ExportedNetwork], plant: Plant) -> None:
    network = exported(plant)
    assert not network.verified
    assert network.sentence.startswith("model.onnx was not verified: ")
