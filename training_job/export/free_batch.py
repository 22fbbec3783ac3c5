"""Frees the batch of a traced graph: what differs between the graphs of two batch sizes is computed from the input.

A trace has the sizes of its inputs in constants, such as the shape of a Reshape. A whole number that is a linear
function of the batch is computed from the shape of an input, and an array of one value whose shape has the batch is
expanded to it. Weights do not differ. Anything else that differs means that the graph cannot be freed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from training_job.export.entry import BATCH

_SIZE = "kedja_batch"


class FixedBatchError(Exception):
    """The graph cannot be freed; the message says what differs."""


def free(small: ModelProto, large: ModelProto, sizes: tuple[int, int], axes: Sequence[tuple[int, ...]]) -> ModelProto:
    """Return the graph for any batch. `sizes` are the batches of the two, `axes` those of each input that are a batch.

    Raises:
        FixedBatchError: What differs cannot be computed from the shape of an input.
    """
    model = ModelProto()
    model.CopyFrom(small)
    graph = model.graph
    _remove_weights(model)
    if [node.op_type for node in graph.node] != [node.op_type for node in large.graph.node]:
        raise FixedBatchError("the operators differ between two batch sizes")
    freed = _Freed(sizes)
    nodes: list[NodeProto] = []
    for node, other in zip(graph.node, large.graph.node, strict=True):
        nodes += freed.node(node, other)
    kept = []
    others = {tensor.name: tensor for tensor in large.graph.initializer}
    if others.keys() != {tensor.name for tensor in graph.initializer}:
        raise FixedBatchError("the constants differ between two batch sizes")
    for tensor in graph.initializer:
        made = freed.tensor(tensor, others[tensor.name], tensor.name)
        kept += [] if made else [tensor]
        nodes[:0] = made
    if freed.is_used:
        index = next((n for n, one in enumerate(axes) if one), None)
        if index is None:
            raise FixedBatchError("no input has a batch")
        nodes[:0] = _size_of(graph.input[index].name, axes[index][0])
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    _name_dimensions(model, large, sizes)
    return model


def _remove_weights(model: ModelProto) -> None:
    """Remove the weights from the inputs, where `onnx_chainer` lists them, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    own = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(own)


class _Freed:
    """Replaces what differs. `is_used` says whether the batch's size is needed."""

    def __init__(self, sizes: tuple[int, int]) -> None:
        self._sizes = sizes
        self.is_used = False

    def node(self, node: NodeProto, other: NodeProto) -> list[NodeProto]:
        """Return the nodes in place of one."""
        if len(node.attribute) != len(other.attribute):
            raise FixedBatchError(f"the attributes of {node.op_type} differ between two batch sizes")
        for own, its in zip(node.attribute, other.attribute, strict=True):
            if own.SerializeToString(deterministic=True) == its.SerializeToString(deterministic=True):
                continue
            if node.op_type != "Constant":
                raise FixedBatchError(f"{own.name} of {node.op_type} differs between two batch sizes")
            made = self.tensor(own.t, its.t, node.output[0])
            if made:
                return made
        return [node]

    def tensor(self, tensor: TensorProto, other: TensorProto, name: str) -> list[NodeProto]:
        """Return the nodes that compute a constant from the batch's size; none if it does not differ."""
        if tensor.raw_data and tensor.raw_data == other.raw_data and tensor.dims == other.dims:
            return []
        small, large = numpy_helper.to_array(tensor), numpy_helper.to_array(other)
        if small.shape == large.shape and np.array_equal(small, large, equal_nan=small.dtype.kind == "f"):
            return []
        self.is_used = True
        if small.shape == large.shape and small.dtype.kind in "iu":
            return self._whole_numbers(small, large, name)
        return self._filled(small, large, name)

    def _whole_numbers(self, small: Any, large: Any, name: str) -> list[NodeProto]:  # noqa: ANN401 - arrays
        """Compute `slope * batch + offset`."""
        slope, offset = self._linear(small.astype(np.int64), large.astype(np.int64), name)
        nodes = [
            _constant(f"{name}_slope", slope),
            _constant(f"{name}_offset", offset),
            helper.make_node("Mul", [_SIZE, f"{name}_slope"], [f"{name}_scaled"]),
        ]
        is_int64 = small.dtype == np.int64
        last = name if is_int64 and small.ndim else f"{name}_sum"
        nodes.append(helper.make_node("Add", [f"{name}_scaled", f"{name}_offset"], [last]))
        if not is_int64:
            kind = helper.np_dtype_to_tensor_dtype(small.dtype)
            cast = name if small.ndim else f"{name}_cast"
            nodes.append(helper.make_node("Cast", [last], [cast], to=kind))
            last = cast
        if not small.ndim:
            nodes.append(helper.make_node("Squeeze", [last], [name], axes=[0]))
        return nodes

    def _linear(self, small: Any, large: Any, name: str) -> tuple[Any, Any]:  # noqa: ANN401 - as above
        step = self._sizes[1] - self._sizes[0]
        if np.any((large - small) % step):
            raise FixedBatchError(f"the numbers of {name} are no linear function of the batch size")
        slope = (large - small) // step
        return np.atleast_1d(slope), np.atleast_1d(small - slope * self._sizes[0])

    def _filled(self, small: Any, large: Any, name: str) -> list[NodeProto]:  # noqa: ANN401 - as above
        """Expand one value, or one row, to a shape that has the batch."""
        if small.ndim != large.ndim or not small.ndim:
            raise FixedBatchError(f"{name} differs between two batch sizes")
        axes = [axis for axis in range(small.ndim) if small.shape[axis] != large.shape[axis]]
        one = small[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(small.ndim))]
        if not (
            axes
            and np.array_equal(np.broadcast_to(one, small.shape), small)
            and np.array_equal(np.broadcast_to(one, large.shape), large)
        ):
            raise FixedBatchError(f"the values of {name} differ between two batch sizes")
        shape = f"{name}_shape"
        return [
            *self._whole_numbers(np.array(small.shape, np.int64), np.array(large.shape, np.int64), shape),
            _constant(f"{name}_one", one),
            helper.make_node("Expand", [f"{name}_one", shape], [name]),
        ]


def _constant(name: str, value: Any) -> NodeProto:  # noqa: ANN401 - an array
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.ascontiguousarray(value), name))


def _size_of(name: str, axis: int) -> list[NodeProto]:
    """Return nodes that compute the size of an axis of an input, as an array of one int64."""
    return [
        helper.make_node("Shape", [name], [f"{_SIZE}_shape"]),
        _constant(f"{_SIZE}_axis", np.array([axis], np.int64)),
        helper.make_node("Gather", [f"{_SIZE}_shape", f"{_SIZE}_axis"], [_SIZE], axis=0),
    ]


def _name_dimensions(model: ModelProto, large: ModelProto, sizes: tuple[int, int]) -> None:
    """Name the dimensions of inputs and outputs that differ: `N`, and for others a multiple such as `4N`."""
    others = {value.name: value for value in (*large.graph.input, *large.graph.output)}
    for value in (*model.graph.input, *model.graph.output):
        dimensions = others[value.name].type.tensor_type.shape.dim
        for own, its in zip(value.type.tensor_type.shape.dim, dimensions, strict=True):
            if own.dim_value != its.dim_value:
                own.dim_param = _dimension((own.dim_value, its.dim_value), sizes)


def _dimension(values: tuple[int, int], sizes: tuple[int, int]) -> str:
    factor = values[0] // sizes[0]
    if values != (factor * sizes[0], factor * sizes[1]):
        return f"from_{BATCH}"
    return BATCH if factor == 1 else f"{factor}{BATCH}"
