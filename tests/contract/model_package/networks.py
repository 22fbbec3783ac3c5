"""Small networks as ONNX, and what they compute by NumPy, in the place of what Chainer computed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training_job.export.exports import ExportedNetwork, Source, Tensor

OPSET, IR_VERSION = 13, 8
_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "object": TensorProto.STRING}
WEIGHTS = np.array([[1, -1], [0.5, 2], [-3, 0.25]], np.float32)


def softmax(x: Any) -> Any:  # noqa: ANN401 - arrays
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)


def network(
    folder: Path,
    weights: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    constants: Mapping[str, Any] | None = None,
    compared: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> ExportedNetwork:
    """Write the graph and the arrays of its comparison into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(one.name, _TYPES[one.dtype], one.shape) for one in inputs],
        [helper.make_tensor_value_info(one.name, _TYPES[one.dtype], one.shape) for one in outputs],
        [numpy_helper.from_array(value, key) for key, value in (constants or {}).items()],
    )
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 2)],
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{name}.onnx")
    parity = folder / f"{name}-parity.json"
    parity.write_text(json.dumps({"version": 1, "verified": True}))
    np.savez(parity.with_suffix(".npz"), **compared)
    return ExportedNetwork(
        name=name,
        link="Net",
        method="forward",
        onnx=folder / f"{name}.onnx",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        parity=parity,
        verified=True,
        sentence=f"{name}.onnx gives the answers of Chainer.",
        source=Source.of_file(weights),
        metadata=metadata or {},
    )


def scores(folder: Path, weights: Path, name: str = "model", *, factor: float = 1) -> ExportedNetwork:
    """Return a network that takes rows of three numbers from -3 to 3, and gives two probabilities."""
    used = WEIGHTS * np.float32(factor)
    x = np.random.default_rng(0).uniform(-3, 3, (64, 3)).astype(np.float32)
    return network(
        folder,
        weights,
        name,
        [helper.make_node("MatMul", ["x", "W"], ["h"]), helper.make_node("Softmax", ["h"], ["y"], axis=1)],
        inputs=[Tensor(name="x", dtype="float32", shape=("N", 3), low=-3.0, high=3.0)],
        outputs=[Tensor(name="y", dtype="float32", shape=("N", 2))],
        constants={"W": used},
        compared={"inputs/x": x, "outputs/y": softmax(x @ used)},
        metadata={"classes": '["no", "yes"]'},
    )


def unit(folder: Path, weights: Path) -> ExportedNetwork:
    """Return a network that takes rows of three numbers from 0 to 1, and gives their sum."""
    x = np.random.default_rng(1).uniform(0, 1, (8, 3)).astype(np.float32)
    return network(
        folder,
        weights,
        "model",
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        inputs=[Tensor(name="x", dtype="float32", shape=("N", 3), low=0.0, high=1.0)],
        outputs=[Tensor(name="y", dtype="float32", shape=("N", 1))],
        constants={"W": np.ones((3, 1), np.float32)},
        compared={"inputs/x": x, "outputs/y": x.sum(axis=1, keepdims=True)},
    )


def pictures(folder: Path, weights: Path) -> ExportedNetwork:
    """Return a network that takes grey pictures of 2 x 2 as bytes, and gives how dark and how bright they are."""
    x = np.random.default_rng(2).integers(0, 256, (8, 2, 2), np.uint8)
    mean = (x.reshape(8, 4) / np.float32(255)).mean(axis=1, keepdims=True).astype(np.float32)
    picture = {"kind": "picture", "picture": {"mode": "L", "layout": "HW", "size": [2, 2]}}
    return network(
        folder,
        weights,
        "model",
        [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["f", "white"], ["u"]),
            helper.make_node("ReduceMean", ["u"], ["m"], axes=[1, 2], keepdims=0),
            helper.make_node("Unsqueeze", ["m", "axis"], ["bright"]),
            helper.make_node("Sub", ["one", "bright"], ["dark"]),
            helper.make_node("Concat", ["dark", "bright"], ["y"], axis=1),
        ],
        inputs=[Tensor(name="x", dtype="uint8", shape=("N", 2, 2), low=0.0, high=255.0)],
        outputs=[Tensor(name="y", dtype="float32", shape=("N", 2))],
        constants={"white": np.float32(255), "axis": np.array([1]), "one": np.float32(1)},
        compared={"inputs/x": x, "outputs/y": np.concatenate([1 - mean, mean], axis=1)},
        metadata={"kedja_scorer": json.dumps({**picture, "classes": ["dark", "bright"]})},
    )


def table(folder: Path, weights: Path) -> ExportedNetwork:
    """Return a network that takes an age and a city, and gives a label and the probabilities of two classes."""
    age, city = np.array([10, 30, 50], np.float32), np.array(["Bern", "Rom", "Bern"])
    columns = [
        {"name": "age", "input": "age", "type": "number", "missing": "refuse"},
        {
            "name": "city",
            "input": "city",
            "type": "text",
            "missing": "refuse",
            "categories": ["Bern", "Rom"],
            "unseen": "refuse",
        },
    ]
    known = {"kind": "table", "columns": columns, "label": "buys", "classes": ["no", "yes"]}
    number = np.array([1, 2, 1], np.float32)
    yes = (age * number / np.float32(100)).astype(np.float32)
    return network(
        folder,
        weights,
        "model",
        [
            helper.make_node(
                "LabelEncoder",
                ["city"],
                ["number"],
                domain="ai.onnx.ml",
                keys_strings=["Bern", "Rom"],
                values_floats=[1.0, 2.0],
                default_float=0.0,
            ),
            helper.make_node("Mul", ["age", "number"], ["product"]),
            helper.make_node("Div", ["product", "hundred"], ["p_yes"]),
            helper.make_node("Sub", ["one", "p_yes"], ["p_no"]),
            helper.make_node("Greater", ["p_yes", "half"], ["is_yes"]),
            helper.make_node("Where", ["is_yes", "yes", "no"], ["label"]),
        ],
        inputs=[
            Tensor(name="age", dtype="float32", shape=("N",), low=10.0, high=50.0),
            Tensor(name="city", dtype="object", shape=("N",)),
        ],
        outputs=[
            Tensor(name="label", dtype="object", shape=("N",)),
            Tensor(name="p_no", dtype="float32", shape=("N",)),
            Tensor(name="p_yes", dtype="float32", shape=("N",)),
        ],
        constants={
            "hundred": np.float32(100),
            "one": np.float32(1),
            "half": np.float32(0.5),
            "yes": np.array("yes", object),
            "no": np.array("no", object),
        },
        compared={
            "inputs/age": age,
            "inputs/city": city,
            "outputs/label": np.where(yes > 0.5, "yes", "no"),
            "outputs/p_no": 1 - yes,
            "outputs/p_yes": yes,
        },
        metadata={"kedja_scorer": json.dumps(known)},
    )
