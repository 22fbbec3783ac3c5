# ruff: noqa: ANN401 - Chainer has no types
"""The links of Chainer 1.4 that Chainer 2 removed: `chainer.FunctionSet` and `chainer.links.Parameter`."""

from collections.abc import Iterable
from typing import Any

import chainer

from training_job.hooks.compat.old_chainer.flag import OFF


class FunctionSet(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """A chain whose links are registered by assigning them to attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; register it if it is a link."""
        if isinstance(value, chainer.Link) and not self.within_init_scope:
            if name in self._children:
                delattr(self, name)
            with self.init_scope():
                super().__setattr__(name, value)
            return
        super().__setattr__(name, value)

    def __getitem__(self, key: str) -> Any:
        """Return an attribute."""
        return getattr(self, key)

    def collect_parameters(self) -> "FunctionSet":
        """Return this set, which `Optimizer.setup` takes."""
        return self

    def copy_parameters_from(self, params: Iterable[Any]) -> None:
        """Copy the values of arrays into the parameters, in the order of `parameters`."""
        for mine, given in zip(self.parameters, params, strict=False):
            mine[...] = chainer.get_device(self.device).send(given)

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The arrays of all parameters."""
        return tuple(parameter.array for parameter in self.params())

    @parameters.setter
    def parameters(self, arrays: Iterable[Any]) -> None:
        for parameter, array in zip(self.params(), arrays, strict=True):
            parameter.array = array

    @property
    def gradients(self) -> tuple[Any, ...]:
        """The arrays of all gradients."""
        return tuple(parameter.grad for parameter in self.params())

    @gradients.setter
    def gradients(self, arrays: Iterable[Any]) -> None:
        for parameter, array in zip(self.params(), arrays, strict=True):
            parameter.grad = array


class Parameter(chainer.Link):  # type: ignore[misc] # Chainer has no types
    """A link with one parameter, `W`, which it returns when it is called."""

    def __init__(self, array: Any) -> None:
        super().__init__()
        with self.init_scope():
            self.W = chainer.Parameter(array)

    def forward(self, volatile: Any = OFF) -> Any:
        """Return the parameter as a variable with this flag."""
        copy = chainer.functions.identity(self.W)
        copy.volatile = volatile
        return chainer.functions.identity(copy)
