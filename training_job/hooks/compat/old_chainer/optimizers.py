# ruff: noqa: ANN401 - Chainer has no types
"""The methods that Chainer 2 removed from optimizers, `new_epoch` by hand, and update rules written for Chainer 1."""

import contextlib
import functools
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

_BY_HAND = "_epochs_by_hand"


@contextlib.contextmanager
def accept_removed_methods(module: ModuleType) -> Iterator[None]:
    """Patch `Optimizer`: `zero_grads`, `compute_grads_norm`, `clip_grads`, `weight_decay`, `accumulate_grads`."""
    yield
    for method in (_zero_grads, _compute_grads_norm, _clip_grads, _weight_decay, _accumulate_grads):
        setattr(vars(module)["Optimizer"], method.__name__.removeprefix("_"), method)


def _zero_grads(self: Any) -> None:
    for parameter in self.target.params():
        if parameter.array is not None:
            parameter.grad = parameter.xp.zeros_like(parameter.array)


def _compute_grads_norm(self: Any) -> float:
    squares = (float((parameter.grad**2).sum()) for parameter in self.target.params())
    return float(np.sqrt(sum(squares)))


def _clip_grads(self: Any, maxnorm: float) -> None:
    norm = self.compute_grads_norm()
    if norm > maxnorm:
        for parameter in self.target.params():
            parameter.grad *= maxnorm / norm


def _weight_decay(self: Any, decay: float) -> None:
    for parameter in self.target.params():
        parameter.grad += decay * parameter.array


def _accumulate_grads(self: Any, grads: Iterable[Any]) -> None:
    for parameter, other in zip(self.target.params(), grads, strict=False):
        parameter.grad += parameter.device.send(other)


@contextlib.contextmanager
def accept_epochs_by_hand(module: ModuleType) -> Iterator[None]:
    """Patch `Optimizer.new_epoch`: once the script calls it, as before Chainer 5, the updater's calls do nothing."""
    yield
    optimizer = vars(module)["Optimizer"]
    count = optimizer.new_epoch

    @functools.wraps(count)
    def new_epoch(self: Any, auto: bool = False) -> None:  # noqa: FBT001, FBT002 - Chainer's signature
        by_hand = vars(self).get(_BY_HAND, False)
        if auto and by_hand:
            return
        if auto or by_hand:
            count(self, auto=auto)
            return
        vars(self)[_BY_HAND] = True
        counted_by_updater = self.use_auto_new_epoch and self.epoch > 0
        self.use_auto_new_epoch = False
        if not counted_by_updater:
            count(self)

    optimizer.new_epoch = new_epoch


@contextlib.contextmanager
def accept_old_update_rules(module: ModuleType) -> Iterator[None]:
    """Patch `GradientMethod` for classes with `update_one` (`_cpu`, `_gpu`) and `init_state`, as in Chainer 1."""
    yield
    method, rule = vars(module)["GradientMethod"], vars(module)["UpdateRule"]
    create = method.create_update_rule

    class OldRule(rule):  # type: ignore[misc, valid-type] # Chainer has no types
        """Updates a parameter by the methods of its optimizer."""

        def __init__(self, optimizer: Any) -> None:
            super().__init__()
            self._optimizer = optimizer

        def init_state(self, param: Any) -> None:
            """Have the optimizer fill the state."""
            name = "init_state"
            if not hasattr(self._optimizer, name):
                name = "init_state_cpu" if isinstance(param.array, np.ndarray) else "init_state_gpu"
            if hasattr(self._optimizer, name):
                getattr(self._optimizer, name)(param, self.state)

        def update_core(self, param: Any) -> None:
            """Have the optimizer update the parameter."""
            name = "update_one"
            if not hasattr(self._optimizer, name):
                name = "update_one_cpu" if isinstance(param.array, np.ndarray) else "update_one_gpu"
            with module.chainer.using_device(param.device):
                getattr(self._optimizer, name)(param, self.state)

    @functools.wraps(create)
    def create_update_rule(self: Any) -> Any:
        return OldRule(self) if hasattr(self, "update_one") or hasattr(self, "update_one_cpu") else create(self)

    method.create_update_rule = create_update_rule
    method._use_fp32_update = False  # noqa: SLF001 - such classes need not call GradientMethod.__init__
