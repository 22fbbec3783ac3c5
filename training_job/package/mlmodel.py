"""`MLmodel` and the example of an input, in MLflow's format, written without MLflow, whose import takes seconds.

Format: https://mlflow.org/docs/latest/ml/model/#storage-format and …/model/signatures/. MLflow loads the network with
its own module `mlflow.onnx`.
"""

import json
import platform
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from training_job.atomic_write import DAMAGED_ARRAYS
from training_job.export.exports import ExportedNetwork, Tensor
from training_job.package import dependencies

NAME = "MLmodel"
EXAMPLE = "input_example.json"
SERVING_EXAMPLE = "serving_input_example.json"
_MOST_EXAMPLE_VALUES = 50_000
_EXAMPLES = 2
_COLUMN_TYPES = {
    "bool": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "int64": "long",
    "uint8": "integer",
    # pandas reads numbers as float64, and MLflow narrows nothing. Its module for ONNX does.
    "float32": "double",
    "float64": "double",
}

type Signature = dict[str, list[dict[str, Any]]]
type Example = Mapping[str, Any]


def document(network: ExportedNetwork, signature: Signature, *, is_table: bool, has_example: bool) -> dict[str, Any]:
    """Return the content of `MLmodel` for a network whose file lies beside it."""
    example = {
        "artifact_path": EXAMPLE,
        "serving_input_path": SERVING_EXAMPLE,
        **({"type": "dataframe", "pandas_orient": "split"} if is_table else {"type": "ndarray"}),
    }
    return {
        "flavors": {
            "onnx": {
                "code": None,
                "data": network.onnx.name,
                "onnx_session_options": None,
                "onnx_version": _onnx_version(),
                "providers": ["CPUExecutionProvider"],
            },
            "python_function": {
                "data": network.onnx.name,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.onnx",
                "python_version": platform.python_version(),
            },
        },
        "mlflow_version": dependencies.mlflow_version(),
        "model_size_bytes": network.onnx.stat().st_size,
        "model_uuid": uuid.uuid4().hex,
        **({"saved_input_example_info": example} if has_example else {}),
        "signature": {
            "inputs": json.dumps(signature["inputs"]),
            "outputs": json.dumps(signature["outputs"]),
            "params": None,
        },
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def signature(network: ExportedNetwork, *, is_table: bool) -> Signature:
    """Return the signature: of columns for a table, else of tensors.

    A single input has no name, so that MLflow takes an array for it.
    """
    if is_table:
        return {"inputs": [*map(_column, network.inputs)], "outputs": [*map(_output_column, network.outputs)]}
    inputs = [_tensor(tensor) for tensor in network.inputs]
    if len(inputs) == 1:
        del inputs[0]["name"]
    return {"inputs": inputs, "outputs": [_tensor(tensor) for tensor in network.outputs]}


def is_table(network: ExportedNetwork, kind: str) -> bool:
    """Return whether a network takes a column for each of several inputs, and gives columns."""
    return kind == "table" and all(len(tensor.shape) == 1 for tensor in (*network.inputs, *network.outputs))


def examples(network: ExportedNetwork, *, is_table: bool) -> Mapping[str, Example | list[Any]]:
    """Return the files with examples of an input, from the comparison with Chainer; none if they would be large."""
    arrays = _compared_inputs(network)
    if not arrays or sum(array.size for array in arrays.values()) > _MOST_EXAMPLE_VALUES:
        return {}
    plain = {name: array.tolist() for name, array in arrays.items()}
    if is_table:
        rows = [list(row) for row in zip(*plain.values(), strict=True)]
        table = {"columns": [*plain], "data": rows}
        return {EXAMPLE: table, SERVING_EXAMPLE: {"dataframe_split": table}}
    only = next(iter(plain.values())) if len(plain) == 1 else plain
    return {EXAMPLE: only, SERVING_EXAMPLE: {"inputs": only}}


def _compared_inputs(network: ExportedNetwork) -> dict[str, Any]:
    if network.parity is None:
        return {}
    import numpy as np  # noqa: PLC0415 - a job without an export may have no NumPy

    try:
        with np.load(network.parity.with_suffix(".npz"), allow_pickle=False) as archive:
            arrays = {tensor.name: archive[f"inputs/{tensor.name}"] for tensor in network.inputs}
    except DAMAGED_ARRAYS:
        return {}
    fixed = any(isinstance(tensor.shape[0], int) for tensor in network.inputs if tensor.shape)
    return arrays if fixed else {name: array[:_EXAMPLES] for name, array in arrays.items()}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    shape = [side if isinstance(side, int) else -1 for side in tensor.shape]
    dtype = "str" if _is_text(tensor) else tensor.dtype
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}, "name": tensor.name}


def _column(tensor: Tensor) -> dict[str, Any]:
    kind = "string" if _is_text(tensor) else _COLUMN_TYPES.get(tensor.dtype, "double")
    return {"type": kind, "name": tensor.name, "required": True}


def _output_column(tensor: Tensor) -> dict[str, Any]:
    return {**_column(tensor), "type": "float"} if tensor.dtype == "float32" else _column(tensor)


def _is_text(tensor: Tensor) -> bool:
    return tensor.dtype in ("object", "str", "string") or tensor.dtype.startswith("<U")


def _onnx_version() -> str:
    try:
        return metadata.version("onnx")
    except metadata.PackageNotFoundError:
        return "unknown"
