"""A stand-in for `onnx.mapping`, for onnx_chainer, made with `onnx.helper`."""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np

_TYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool", "complex64", "complex128", "object",
)  # fmt: skip
# The types whose values are stored in a list of their own type. The rest is raw data, or stored as another type.
_FIELDS = {
    "FLOAT": "float_data", "INT32": "int32_data", "INT64": "int64_data", "UINT16": "int32_data",
    "DOUBLE": "double_data", "COMPLEX64": "float_data", "COMPLEX128": "double_data", "UINT32": "uint64_data",
    "UINT64": "uint64_data", "STRING": "string_data", "BOOL": "int32_data",
}  # fmt: skip


def stand_ins() -> dict[str, ModuleType]:
    """Return the stand-in for `onnx.mapping`, by its name."""
    helper, tensor = import_module("onnx.helper"), import_module("onnx").TensorProto
    mapping = ModuleType("onnx.mapping")
    dtypes = map(np.dtype, _TYPES)
    names = vars(mapping)
    names["NP_TYPE_TO_TENSOR_TYPE"] = {dtype: int(helper.np_dtype_to_tensor_dtype(dtype)) for dtype in dtypes}
    names["STORAGE_TENSOR_TYPE_TO_FIELD"] = {getattr(tensor, kind): field for kind, field in _FIELDS.items()}
    return {"onnx.mapping": mapping}


@contextlib.contextmanager
def in_module(module: ModuleType) -> Iterator[None]:
    """Give the module an `onnx` with a `mapping`, which it uses after its import."""
    yield
    vars(module)["onnx"] = SimpleNamespace(**(vars(import_module("onnx")) | {"mapping": stand_ins()["onnx.mapping"]}))
