# ruff: noqa: ANN401 - Chainer has no types
"""The flag `volatile` of variables, by which Chainer 1 chose whether to build a graph.

A function of a volatile variable builds no graph, and what it returns is volatile. Unlike Chainer 1, a variable that is
not volatile can be mixed with volatile ones, as Chainer's links now make such variables themselves.
"""

import contextlib
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from training_job.hooks.compat.old_chainer.flag import AUTO, OFF, ON, Flag

_NAME = "_volatile"


@contextlib.contextmanager
def accept_volatile(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.variable`."""
    yield
    variable, parameter = vars(module)["Variable"], vars(module)["Parameter"]
    construct = variable.__init__

    @functools.wraps(construct)
    def __init__(self: Any, data: Any = None, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - the name
        kwargs = dict(zip(("volatile", "name", "grad"), args, strict=False)) | kwargs
        if "volatile" not in kwargs:
            construct(self, data, **kwargs)
            return
        flag = Flag(kwargs.pop("volatile"))
        construct(self, data, **kwargs)
        self.volatile = flag

    def get(self: Any) -> Flag:
        flag: Flag = vars(self).get(_NAME, AUTO if isinstance(self, parameter) else OFF)
        return flag

    def choose(self: Any, value: Any) -> None:
        flag = Flag(value)
        vars(self)[_NAME] = flag
        if flag is ON:
            _follow_volatile_variables()

    variable.__init__ = __init__
    variable.volatile = property(get, choose)


@functools.cache
def _follow_volatile_variables() -> None:
    """Patch `FunctionNode.apply`. This waits for the first volatile variable, as each function then takes longer."""
    import chainer  # noqa: PLC0415 - not before it is imported as a whole

    node = chainer.FunctionNode
    apply = node.apply

    @functools.wraps(apply)
    def apply_volatile(self: Any, inputs: Any) -> Any:
        if not any(isinstance(x, chainer.Variable) and vars(x).get(_NAME) is ON for x in inputs):
            return apply(self, inputs)
        with chainer.no_backprop_mode():
            outputs = apply(self, inputs)
        for output in outputs:
            vars(output)[_NAME] = ON
        return outputs

    node.apply = apply_volatile
