# ruff: noqa: ANN401 - Chainer has no types
"""The removed arguments of `chainer.functions`: `train`, `use_cudnn`, `deterministic`, `pooling_class`.

Source: the signatures in Chainer 1.24, and https://docs.chainer.org/en/v7.8.1/upgrade_v2.html.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from training_job.hooks.compat.old_chainer import arguments
from training_job.hooks.compat.old_chainer.arguments import Effect

_CUDNN: Mapping[str, Effect] = {"use_cudnn": arguments.use_cudnn}
_CONVOLUTION: Mapping[str, Effect] = {**_CUDNN, "deterministic": arguments.deterministic}
_TRAIN: Mapping[str, Effect] = {"train": arguments.train}
_RECURRENT: Mapping[str, Effect] = {**_TRAIN, **_CUDNN}

_FUNCTIONS: Mapping[str, tuple[Mapping[str, Effect], Sequence[str]]] = {
    "average_pooling_2d": (_CUDNN, ("use_cudnn",)),
    "average_pooling_nd": (_CUDNN, ()),
    "batch_normalization": (
        {**_RECURRENT, "test": arguments.test},
        ("eps", "running_mean", "running_var", "decay", "use_cudnn"),
    ),
    "convolution_2d": (_CONVOLUTION, ()),
    "convolution_nd": (_CUDNN, ()),
    "deconvolution_2d": (_CONVOLUTION, ("use_cudnn", "deterministic")),
    "deconvolution_nd": (_CUDNN, ()),
    "dilated_convolution_2d": (_CUDNN, ()),
    "dropout": (_TRAIN, ("train",)),
    "fixed_batch_normalization": (_CUDNN, ()),
    "log_softmax": (_CUDNN, ()),
    "max_pooling_2d": (_CUDNN, ()),
    "max_pooling_nd": (_CUDNN, ()),
    "relu": (_CUDNN, ("use_cudnn",)),
    "rrelu": (_TRAIN, ()),
    "sigmoid": (_CUDNN, ("use_cudnn",)),
    "sigmoid_cross_entropy": (_CUDNN, ()),
    "softmax": (_CUDNN, ()),
    "softmax_cross_entropy": (_CUDNN, ()),
    "spatial_pyramid_pooling_2d": (_CUDNN, ("use_cudnn",)),
    "spatial_transformer_grid": (_CUDNN, ("use_cudnn",)),
    "spatial_transformer_sampler": (_CUDNN, ("use_cudnn",)),
    "tanh": (_CUDNN, ("use_cudnn",)),
    "zoneout": (_TRAIN, ("train",)),
    **{
        f"n_step_{kind}": (_RECURRENT, ("train", "use_cudnn"))
        for kind in ("lstm", "bilstm", "gru", "bigru", "rnn", "birnn")
    },
}
"""Function: its old arguments, and the names of those that old versions took by position after today's."""


@contextlib.contextmanager
def accept_removed_arguments(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.functions` after its import."""
    yield
    for name, (effects, tail) in _FUNCTIONS.items():
        _replace(module, name, arguments.accept(vars(module)[name], effects, tail))
    for name in ("softmax", "log_softmax"):
        _replace(module, name, _without_leading_flag(vars(module)[name]))
    _replace(module, "spatial_pyramid_pooling_2d", _with_pooling_class(vars(module)["spatial_pyramid_pooling_2d"]))


def _replace(module: ModuleType, name: str, function: Callable[..., Any]) -> None:
    """Replace a function in `chainer.functions` and in the module that defines it, which Chainer's links use."""
    vars(sys.modules[function.__module__])[name] = function
    vars(module)[name] = function


def _without_leading_flag(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take `softmax(x, use_cudnn, axis)`, which is now `softmax(x, axis)`: an axis is no bool."""

    @functools.wraps(function)
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], bool):
            return function(x, *args[1:], use_cudnn=args[0], **kwargs)
        return function(x, *args, **kwargs)

    return call


def _with_pooling_class(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take the class `MaxPooling2D`, the only one that was supported, in place of `pooling="max"`."""

    @functools.wraps(function)
    def call(x: Any, pyramid_height: int, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], type):
            kwargs["pooling_class"], args = args[0], args[1:]
            kwargs.update(zip(("use_cudnn",), args, strict=False))
            args = ()
        pooling = kwargs.pop("pooling_class", None)
        if pooling is not None:
            kwargs["pooling"] = pooling.__name__.removesuffix("Pooling2D").lower()
        return function(x, pyramid_height, *args, **kwargs)

    return call
