# ruff: noqa: ANN401 - Chainer has no types
"""The removed arguments of `chainer.links`, in constructors and calls.

Source: the signatures in Chainer 1.24, and https://docs.chainer.org/en/v7.8.1/upgrade_v2.html.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import chainer

from training_job.hooks.compat.old_chainer import arguments
from training_job.hooks.compat.old_chainer.arguments import Effect, accept

_CUDNN: Mapping[str, Effect] = {"use_cudnn": arguments.use_cudnn}
_CONVOLUTION: Mapping[str, Effect] = {**_CUDNN, "deterministic": arguments.deterministic}
_TRAIN: Mapping[str, Effect] = {"train": arguments.train}
_MODE: Mapping[str, Effect] = {**_TRAIN, "test": arguments.test}
_WEIGHTS = ("wscale", "bias", "nobias")
_REST = ("use_cudnn", "initialW", "initial_bias", "deterministic")
_RECURRENT = [f"NStep{way}{kind}" for way in ("", "Bi") for kind in ("LSTM", "GRU", "RNNTanh", "RNNReLU")]


@contextlib.contextmanager
def accept_removed_arguments(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.links` after its import."""
    yield
    links = vars(module)
    for name in ("BatchNormalization", "ConvolutionND", "DeconvolutionND", "DilatedConvolution2D", "MLPConvolution2D"):
        _remember(links[name], _CUDNN)
    for name in ("Convolution2D", "Deconvolution2D"):
        _remember(links[name], _CONVOLUTION)
    _accept_scales(links)
    _accept_in_call(links["BatchNormalization"], "forward", {"test": arguments.test}, "test", "finetune")
    _remember(links["StatefulZoneoutLSTM"], _TRAIN)
    _remember(links["InceptionBN"], _TRAIN)
    links["InceptionBN"].train = True
    _accept_in_call(links["InceptionBN"], "forward", {"test": arguments.test}, "test")
    for name in _RECURRENT:
        _remember(links[name], _CUDNN)
        _accept_in_call(links[name], "forward", _TRAIN, "train")
    for name in ("VGG16Layers", "VGG19Layers", "ResNet50Layers", "ResNet101Layers", "ResNet152Layers", "GoogLeNet"):
        mode = "train" if name == "GoogLeNet" else "test"
        _accept_in_call(links[name], "forward", _MODE, mode)
        _accept_in_call(links[name], "extract", {**_MODE, "volatile": _volatile}, mode, "volatile")


@contextlib.contextmanager
def accept_mode_of_caffe_model(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.links.caffe.caffe_function`, whose function took `train`."""
    yield
    _accept_in_call(vars(module)["CaffeFunction"], "forward", _TRAIN, "train")


def _accept_scales(links: Mapping[str, Any]) -> None:
    from training_job.hooks.compat.old_chainer.initial_weights import accept_scale  # noqa: PLC0415 - needs Chainer

    accept_scale(links["Linear"], 2, (*_WEIGHTS, "initialW", "initial_bias"))
    accept_scale(links["Convolution2D"], 5, (*_WEIGHTS, *_REST))
    accept_scale(links["Deconvolution2D"], 5, (*_WEIGHTS, "outsize", *_REST))
    accept_scale(links["DilatedConvolution2D"], 6, (*_WEIGHTS, *_REST[:-1]))
    tail = ("wscale", "activation", "use_cudnn", "conv_init", "bias_init")
    accept_scale(links["MLPConvolution2D"], 5, tail, types=(int, float), weights="conv_init")
    accept_scale(links["Maxout"], 3, types=())


def _volatile(value: Any) -> contextlib.AbstractContextManager[Any]:
    return chainer.no_backprop_mode() if value in (True, "on", "ON") else contextlib.nullcontext()


def _accept_in_call(link: Any, method: str, effects: Mapping[str, Effect], *tail: str) -> None:
    setattr(link, method, accept(getattr(link, method), effects, tail))


def _remember(link: Any, effects: Mapping[str, Effect]) -> None:
    """Let a constructor take arguments that take effect in each call; they are attributes of the link."""
    construct, forward = link.__init__, link.forward

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - the method's name
        given = {name: kwargs.pop(name) for name in effects if name in kwargs}
        construct(self, *args, **kwargs)
        vars(self).update(given)

    @functools.wraps(forward)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = effects.keys() & vars(self).keys()
        if not chosen:
            return forward(self, *args, **kwargs)
        with contextlib.ExitStack() as stack:
            for name in chosen:
                stack.enter_context(effects[name](vars(self)[name]))
            return forward(self, *args, **kwargs)

    link.__init__, link.forward = __init__, call
