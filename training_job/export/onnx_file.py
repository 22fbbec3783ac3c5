"""Writes a traced graph so that every ONNX Runtime since 1.17 loads it."""

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto, checker, helper

from training_job.atomic_write import open_atomic

IR_VERSION = 8
"""The last that ONNX Runtime 1.17 is sure to load: it refuses 10 (microsoft/onnxruntime#20559)."""


def finish(model: ModelProto, metadata: Mapping[str, str]) -> ModelProto:
    """Return a model whose weights are constants, and no inputs, without what no node uses.

    Raises:
        onnx.checker.ValidationError: The graph is not valid.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    weights = {tensor.name for tensor in graph.initializer}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.input.extend(inputs)
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(metadata))
    checker.check_model(model, full_check=True)
    return model


def unused_inputs(model: ModelProto) -> list[str]:
    """Return the names of the inputs that no node uses."""
    used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    return [value.name for value in model.graph.input if value.name not in used]


def write(path: Path, model: ModelProto) -> None:
    """Write a model atomically.

    Raises:
        OSError: The file cannot be written.
    """
    with open_atomic(path) as stream:
        stream.write(model.SerializeToString())
