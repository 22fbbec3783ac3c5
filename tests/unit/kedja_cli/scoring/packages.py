"""Packages of small networks in a folder, as `training_job` writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.array([[1, -1], [0.5, 2], [-3, 0.25]], np.float32)
_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "object": TensorProto.STRING}

type Values = list[dict[str, Any]]


def tensor(name: str, dtype: str, *sides: int | str, **more: object) -> dict[str, Any]:
    """Return a tensor of `input.json`."""
    return {"name": name, "dtype": dtype, "shape": list(sides), "seen": None, "bounds": None, **more}


def graph(path: Path, nodes: Sequence[Any], inputs: Values, outputs: Values, constants: Mapping[str, Any]) -> None:
    """Write a model of ONNX."""
    values = [
        [helper.make_tensor_value_info(one["name"], _TYPES[one["dtype"]], one["shape"]) for one in tensors]
        for tensors in (inputs, outputs)
    ]
    arrays = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", *values, arrays), ir_version=8, opset_imports=opsets), path
    )


def described(folder: Path, *networks: dict[str, Any]) -> Path:
    """Write `input.json`; the last network is the default."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "default": networks[-1]["name"], "networks": list(networks)}
    (folder / "input.json").write_text(json.dumps(document))
    return folder


def scores(folder: Path, name: str = "model", *, factor: float = 1, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Write a network of rows of three numbers, and return its part of `input.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [tensor("x", "float32", "N", 3, seen=[0.0, 0.9], bounds=[0.0, 1.0])]
    outputs = [tensor("y", "float32", "N", 2)]
    node = helper.make_node("MatMul", ["x", "W"], ["y"])
    graph(folder / f"{name}.onnx", [node], inputs, outputs, {"W": WEIGHTS * np.float32(factor)})
    known = {"name": name, "file": f"{name}.onnx", "verified": True, "kind": "array", "classes": ["no", "yes"]}
    return {**known, "inputs": inputs, "outputs": outputs, **more}


def pictures(folder: Path, *sides: int, mode: str, layout: str) -> dict[str, Any]:
    """Write a network that gives the sum of a picture's bytes, and return its part of `input.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs, outputs = [tensor("x", "uint8", "N", *sides)], [tensor("y", "float32", "N")]
    axes = list(range(1, len(sides) + 1))
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "weight"], ["w"]),
        helper.make_node("ReduceMean", ["w"], ["y"], axes=axes, keepdims=0),
    ]
    weight = np.arange(1, np.prod(sides) + 1, dtype=np.float32).reshape(sides) * np.float32(np.prod(sides))
    graph(folder / "model.onnx", nodes, inputs, outputs, {"weight": weight})
    picture = {"mode": mode, "layout": layout, "size": list(sides[-2:])}
    known = {"name": "model", "file": "model.onnx", "verified": True, "kind": "picture", "classes": None}
    return {**known, "picture": picture, "inputs": inputs, "outputs": outputs}


def table(folder: Path, *, missing: str = "refuse", unseen: str = "refuse") -> dict[str, Any]:
    """Write a network of an age and a city, and return its part of `input.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [tensor("age", "float32", "N"), tensor("city", "object", "N")]
    outputs = [tensor("label", "object", "N"), tensor("p_no", "float32", "N"), tensor("p_yes", "float32", "N")]
    encoder: dict[str, Any] = {"keys_strings": ["Bern", "Rom"], "values_floats": [1.0, 2.0], "default_float": 0.0}
    nodes = [
        helper.make_node("LabelEncoder", ["city"], ["number"], domain="ai.onnx.ml", **encoder),
        helper.make_node("IsNaN", ["age"], ["is_missing"]),
        helper.make_node("Where", ["is_missing", "usual", "age"], ["filled"]),
        helper.make_node("Mul", ["filled", "number"], ["product"]),
        helper.make_node("Div", ["product", "hundred"], ["p_yes"]),
        helper.make_node("Sub", ["one", "p_yes"], ["p_no"]),
        helper.make_node("Greater", ["p_yes", "half"], ["is_yes"]),
        helper.make_node("Where", ["is_yes", "yes", "no"], ["label"]),
    ]
    numbers = {"hundred": np.float32(100), "one": np.float32(1), "half": np.float32(0.5), "usual": np.float32(20)}
    texts = {name: np.array(name, object) for name in ("yes", "no")}
    graph(folder / "model.onnx", nodes, inputs, outputs, {**numbers, **texts})
    columns: list[dict[str, Any]] = [
        {"name": "age", "input": "age", "type": "number", "missing": missing},
        {"name": "city", "input": "city", "type": "text", "missing": "refuse", "categories": ["Bern", "Rom"]},
    ]
    columns[1]["unseen"] = unseen
    known = {"name": "model", "file": "model.onnx", "verified": True, "kind": "table", "classes": ["no", "yes"]}
    return {**known, "columns": columns, "label": "buys", "inputs": inputs, "outputs": outputs}
