"""An entry of a Link: the method that predicts, and the kinds of arguments with which the script called it."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.errors import ExportError
from training_job.export import loss
from training_job.export.exports import Tensor
from training_job.export.recorded_calls import ArrayArgument, CallGroup, PlainArgument

BATCH = "N"
_TEST_FLAGS = {"train": False, "training": False, "is_train": False, "test": True, "inference": True}
"""Flags of methods in the style of Chainer 1, with their values for a prediction."""
_LABELS = frozenset(
    {"t", "ts", "target", "targets", "label", "labels", "gt", "answer", "answers", "y_true", "teacher", "true"}
)
_MOST_RANGE = 1e6


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a Link is called for a prediction.

    `name` is what its files are called, `path` where the Link is in the saved one (empty for that itself). With
    `behind_loss`, the method returns a loss, and the outputs are what goes into it; then the argument `label` is no
    input. `batches` are the numbers of examples with which other Links were called in the same script.
    """

    name: str
    link: Any
    path: str
    group: CallGroup
    label: int | str | None = None
    batches: frozenset[int] = frozenset()

    @property
    def method(self) -> str:
        """The method's name."""
        return self.group.method

    @property
    def inputs(self) -> dict[int | str, ArrayArgument]:
        """The arguments that become inputs of the graph."""
        return {key: value for key, value in self.group.arrays.items() if key != self.label}

    def input_names(self) -> list[str]:
        """Return the names of the inputs: those of the method's parameters."""
        return [self._parameter(key) for key in self.inputs]

    def check(self) -> None:
        """Raise an error if no graph can take these arguments.

        Raises:
            ExportError: An argument is no array, or there is none.
        """
        if self.group.others:
            raise ExportError(f"{self.method} takes a {self.group.others[0]}, and a graph takes arrays alone")
        if not self.inputs:
            raise ExportError(f"{self.method} was called without an array")

    def call(self, arrays: Sequence[Any]) -> dict[str, Any]:
        """Call the Link with inputs, as Variables or arrays; return the outputs by name, as Variables.

        Raises:
            ExportError: The method returns something else.
        """
        args, kwargs = self._arguments(list(arrays))
        function = getattr(self.link, self.method)
        if self.label is None:
            return _outputs(function(*args, **kwargs))
        label = args[self.label] if isinstance(self.label, int) else kwargs[self.label]
        return _named("output", loss.predictions(lambda: function(*args, **kwargs), label, list(arrays)))

    def _arguments(self, inputs: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        size = len(inputs[0]) if inputs and inputs[0].ndim else 1
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for key, argument in self.group.arguments.items():
            if key == self.label and isinstance(argument, ArrayArgument):
                value: Any = sample(argument, argument.shapes[-1], {0: size}, np.random.default_rng(0))
                value = _variable(value) if argument.is_variable else value
            elif isinstance(argument, ArrayArgument):
                value = inputs.pop(0)
            else:
                value = argument.value if isinstance(argument, PlainArgument) else None
                if isinstance(value, bool):
                    value = _TEST_FLAGS.get(self._parameter(key), value)
            if isinstance(key, int):
                args.append(value)
            else:
                kwargs[key] = value
        return args, kwargs

    def free_axes(self, key: int | str) -> tuple[int, ...]:
        """Return the axes of an input that are the batch: those whose size varied, else the first, or the batch's.

        The batch is the first axis, unless it always had one element and a later axis has as many as the batches with
        which the other Links of the script were called, as the samples of a distribution do.
        """
        shapes = self.inputs[key].shapes
        rank = len(shapes[0])
        if rank == 0:
            return ()
        if rank > 1 and {shape[0] for shape in shapes} == {1}:
            axes = [axis for axis in range(1, rank) if {shape[axis] for shape in shapes} <= self.batches - {1}]
            if axes:
                return (axes[0],)
        return (0,)

    def tensor(self, key: int | str) -> Tensor:
        """Return the description of an input."""
        argument = self.inputs[key]
        axes = self.free_axes(key)
        shape = tuple(BATCH if axis in axes else size for axis, size in enumerate(argument.shapes[-1]))
        return Tensor(
            name=self._parameter(key), dtype=argument.dtype, shape=shape, low=argument.low, high=argument.high
        )

    def samples(self, batch: int, rng: np.random.Generator) -> list[Any]:
        """Return random inputs of a number of examples, in the range of those that were seen."""
        return [
            sample(argument, argument.shapes[-1], dict.fromkeys(self.free_axes(key), batch), rng)
            for key, argument in self.inputs.items()
        ]

    def _parameter(self, key: int | str) -> str:
        if isinstance(key, str):
            return key
        return parameter_names(self.link, self.method, key + 1)[key]


def parameter_names(link: Any, method: str, count: int) -> list[str]:  # noqa: ANN401 - Chainer has no types
    """Return the names of a method's first parameters, without `self`; `input_<n>` for those of `*args`."""
    function = getattr(type(link), method)
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = list(inspect.signature(function).parameters.values())[1:]
    found = [parameter.name for parameter in parameters if parameter.kind in positional]
    return [found[n] if n < len(found) else f"input_{n}" for n in range(count)]


def label_of(link: Any, group: CallGroup) -> int | str | None:  # noqa: ANN401 - as above
    """Return the argument that is the label for a loss: by its name, else the last array; None for a single array."""
    keys = list(group.arrays)
    if len(keys) < 2:  # noqa: PLR2004 - an input and a label
        return None
    positions = [key for key in keys if isinstance(key, int)]
    names = parameter_names(link, group.method, max(positions, default=-1) + 1)
    named = [key for key in keys if (names[key] if isinstance(key, int) else key).lower() in _LABELS]
    return named[-1] if named else keys[-1]


def sample(argument: ArrayArgument, shape: tuple[int, ...], sizes: Mapping[int, int], rng: np.random.Generator) -> Any:  # noqa: ANN401 - an array
    """Return a random array of an argument's dtype and range. `sizes` replaces sizes of the shape by axis."""
    shape = tuple(sizes.get(axis, size) for axis, size in enumerate(shape))
    dtype = np.dtype(argument.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    low, high = argument.low, argument.high
    if low is None or high is None:
        low, high = (0, 1) if dtype.kind in "ui" else (-1.0, 1.0)
    if dtype.kind in "ui":
        return rng.integers(int(low), int(high), shape, endpoint=True).astype(dtype)
    return rng.uniform(max(low, -_MOST_RANGE), min(high, _MOST_RANGE), shape).astype(dtype)


def _outputs(result: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a method returns
    import chainer  # noqa: PLC0415 - the caller has a Link, so it is imported

    if isinstance(result, chainer.distribution.Distribution):
        return {name: value for name, value in result.params.items() if isinstance(value, chainer.Variable)}
    if isinstance(result, chainer.Variable):
        return {"output": result}
    if isinstance(result, dict):
        found = {str(name): value for name, value in result.items() if isinstance(value, chainer.Variable)}
    elif isinstance(result, list | tuple):
        found = {}
        for n, part in enumerate(result):
            named = _outputs(part) if isinstance(part, chainer.Variable | chainer.distribution.Distribution) else {}
            found |= {f"{name}_{n}": value for name, value in named.items()}
    else:
        found = {}
    if not found:
        raise ExportError(f"it returns a {type(result).__name__}, and not a chainer.Variable, which can be traced")
    return found


def _variable(array: Any) -> Any:  # noqa: ANN401 - as above
    import chainer  # noqa: PLC0415 - as above

    return chainer.Variable(array)


def _named(name: str, values: Sequence[Any]) -> dict[str, Any]:
    return {name: values[0]} if len(values) == 1 else {f"{name}_{n}": value for n, value in enumerate(values)}
