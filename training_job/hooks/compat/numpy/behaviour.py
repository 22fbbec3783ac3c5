"""Patches for changed behaviour of NumPy and SciPy that Chainer depends on."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np


@contextlib.contextmanager
def meshgrid_is_a_tuple(module: ModuleType) -> Iterator[None]:
    """Patch `Categorical.log_prob`, which needs `meshgrid` to return a list, as it did before NumPy 2.0."""
    yield

    def log_prob(self: Any, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        grid = np.meshgrid(*map(range, self.batch_shape), indexing="ij")
        labels = getattr(x, "array", x).astype(np.int32)
        return self.log_p[(*grid, labels)]

    vars(module)["Categorical"].log_prob = log_prob


@contextlib.contextmanager
def integers_do_not_wrap(module: ModuleType) -> Iterator[None]:
    """Patch `pad_sequence` with -1 for unsigned integers, which no longer wrap around since NumPy 2.0."""
    yield
    function = vars(module)["PadSequence"]
    forward = function.forward

    def wrapping(self: Any, xs: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        if isinstance(self.padding, int):
            self.padding = np.array(self.padding).astype(xs[0].dtype)[()]
        return forward(self, xs)

    function.forward = wrapping


@contextlib.contextmanager
def arrays_have_a_device(module: ModuleType) -> Iterator[None]:
    """Patch `Variable.debug_print`, which recognizes arrays on the CPU by their lack of `device`."""
    yield
    variable = vars(module)["Variable"]
    debug_print = variable.debug_print

    def on_the_cpu(self: Any) -> str:  # noqa: ANN401 - Chainer has no types
        return str(debug_print(self)).replace("- device: cpu\n", "- device: CPU\n")

    variable.debug_print = on_the_cpu


@contextlib.contextmanager
def scipy_has_no_half(module: ModuleType) -> Iterator[None]:
    """Patch `sparse_matmul` of float16 on the CPU, as SciPy's sparse matrices no longer support it."""
    yield
    names = vars(module)
    multiply = names["_coo_matmul_cpu"]

    def in_single(data: Any, *more: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        # As SciPy did before. Chainer converts the product back.
        return multiply(data.astype(np.float32) if data.dtype == np.float16 else data, *more)

    names["_coo_matmul_cpu"] = in_single


@contextlib.contextmanager
def one_element_is_no_scalar(module: ModuleType) -> Iterator[None]:
    """Patch ChainerMN's iterator, which calls `int` on arrays of shape (1,)."""
    yield

    def integer(value: Any) -> int:  # noqa: ANN401 - a number or an array of one
        return int(value.item() if isinstance(value, np.ndarray) else value)

    vars(module)["int"] = integer
