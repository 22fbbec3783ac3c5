# ruff: noqa: ANN401 - Chainer has no types
"""Lets functions of Chainer take the arguments that Chainer 2 replaced by `chainer.config`."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chainer

Effect = Callable[[Any], contextlib.AbstractContextManager[Any]]
"""Takes the value of an old argument; the function runs inside the context that it returns."""


def _config(name: str, value: object) -> contextlib.AbstractContextManager[Any]:
    context: contextlib.AbstractContextManager[Any] = chainer.using_config(name, value)
    return context


def train(value: Any) -> contextlib.AbstractContextManager[Any]:
    """Run in training mode if `train` is true, else in test mode."""
    return _config("train", bool(value))


def test(value: Any) -> contextlib.AbstractContextManager[Any]:
    """Run in test mode if `test` is true, else in training mode. None leaves the mode as it is."""
    return contextlib.nullcontext() if value is None else _config("train", not value)


def use_cudnn(value: Any) -> contextlib.AbstractContextManager[Any]:
    """Run without cuDNN if `use_cudnn` is false; true left it to Chainer whether to use it."""
    return contextlib.nullcontext() if value else _config("use_cudnn", "never")


def deterministic(value: Any) -> contextlib.AbstractContextManager[Any]:
    """Have cuDNN use deterministic algorithms if `deterministic` is true."""
    return _config("cudnn_deterministic", value=True) if value else contextlib.nullcontext()


def ignored(value: Any) -> contextlib.AbstractContextManager[Any]:  # noqa: ARG001 - an effect's argument
    """Accept an argument that has no effect on the result."""
    return contextlib.nullcontext()


def accept(function: Callable[..., Any], effects: Mapping[str, Effect], tail: Sequence[str] = ()) -> Callable[..., Any]:
    """Return the function with the old arguments in `effects`.

    `tail` names the positional arguments of old versions that follow those that the function still takes by position.
    """
    code = inspect.unwrap(function).__code__
    most = code.co_argcount if tail else None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if most is not None and most < len(args) <= most + len(tail):
            kwargs = dict(zip(tail, args[most:], strict=False)) | kwargs
            args = args[:most]
        if not kwargs or effects.keys().isdisjoint(kwargs):
            return function(*args, **kwargs)
        with contextlib.ExitStack() as stack:
            for name in effects.keys() & kwargs.keys():
                stack.enter_context(effects[name](kwargs.pop(name)))
            return function(*args, **kwargs)

    return call


def renamed(function: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """Return the function with arguments under their old names as well: `old="new"`."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for old in names.keys() & kwargs.keys():
            kwargs[names[old]] = kwargs.pop(old)
        return function(*args, **kwargs)

    return call
