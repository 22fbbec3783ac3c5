"""One step of training an `Mlp`, without Chainer's autograd.

All parameters are in one buffer and all gradients in another. Matrix products write directly into them, nothing is
allocated or zeroed in a step, and the optimizer updates both buffers as a whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from chainer.backends import cuda

from training_job.trainer.networks import Mlp

SECOND_DECAY, EPSILON = 0.999, 1e-8
"""Chainer's defaults of Adam: beta2 and eps."""


class MlpStep(ABC):
    """Training of an `Mlp` without dropout. Optimizers as in `training_job.trainer.steps.OPTIMIZERS`."""

    def __init__(self, network: Mlp, optimizer: str, momentum: float) -> None:
        self._layers = [*network.hidden, network.output]
        self._xp: Any = network.device.xp
        parameters = [parameter for layer in self._layers for parameter in (layer.W, layer.b)]
        total = sum(parameter.size for parameter in parameters)
        self._values, self._gradients, *self._moments = (
            self._xp.zeros(total, np.float32) for _ in range(2 + {"adam": 2, "momentum": 1, "sgd": 0}[optimizer])
        )
        self._update = {"adam": self._adam, "momentum": self._momentum_sgd, "sgd": self._sgd}[optimizer]
        self._momentum = momentum
        self._count = 0
        self._weights: list[tuple[Any, Any]] = []
        self._gradient_views: list[tuple[Any, Any]] = []
        views = iter(_views(self._values, parameters))
        slopes = iter(_views(self._gradients, parameters))
        for layer in self._layers:
            for parameter in (layer.W, layer.b):
                view = next(views)
                view[...] = parameter.array
                parameter.array = view
            self._weights.append((layer.W.array, layer.b.array))
            self._gradient_views.append((next(slopes), next(slopes)))
        self._outputs: list[Any] = []
        self._errors: list[Any] = []

    def train(self, x: Any, y: Any, rate: float) -> None:  # noqa: ANN401 - arrays
        """See `training_job.trainer.steps.Step`."""
        x = x.reshape(len(x), -1)
        if not self._outputs or len(self._outputs[0]) != len(x):
            self._allocate(len(x))
        self._forward(x)
        self._compute_output_error(y)
        self._backward(x)
        self._count += 1
        self._update(rate)

    def state(self) -> dict[str, Any]:
        """See `training_job.trainer.steps.Step`."""
        moments = {f"moment{index}": cuda.to_cpu(moment).copy() for index, moment in enumerate(self._moments)}
        return {"count": np.array(self._count), **moments}

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        """See `training_job.trainer.steps.Step`."""
        self._count = int(arrays["count"])
        for index, moment in enumerate(self._moments):
            moment[...] = self._xp.asarray(arrays[f"moment{index}"])

    def _allocate(self, count: int) -> None:
        """Allocate the arrays for batches of `count` examples."""
        widths = [weights.shape[0] for weights, _ in self._weights]
        self._outputs, self._errors = (
            [self._xp.empty((count, width), np.float32) for width in widths] for _ in range(2)
        )

    def _forward(self, x: Any) -> None:  # noqa: ANN401 - an array
        last = len(self._weights) - 1
        for index, (weights, bias) in enumerate(self._weights):
            output = self._outputs[index]
            self._xp.dot(x, weights.T, out=output)
            self._add_bias(output, bias, rectify=index < last)
            x = output

    def _backward(self, x: Any) -> None:  # noqa: ANN401 - an array
        for index in reversed(range(len(self._weights))):
            error, before = self._errors[index], self._outputs[index - 1] if index else x
            weight_slope, bias_slope = self._gradient_views[index]
            self._xp.dot(error.T, before, out=weight_slope)
            error.sum(axis=0, out=bias_slope)
            if index:
                self._xp.dot(error, self._weights[index][0], out=self._errors[index - 1])
                self._mask_error(index - 1)

    def _adam_rate(self, rate: float) -> float:
        """Return the rate corrected for the bias of both moments: https://arxiv.org/abs/1412.6980."""
        correction: float = (1 - SECOND_DECAY**self._count) ** 0.5 / (1 - self._momentum**self._count)
        return rate * correction

    # --- specific to a device

    @abstractmethod
    def pop_sums(self) -> tuple[float, int]:
        """See `training_job.trainer.steps.Step`."""

    @abstractmethod
    def _add_bias(self, output: Any, bias: Any, *, rectify: bool) -> None:  # noqa: ANN401 - arrays
        """Add the bias to a layer's output, followed by ReLU if `rectify` is set."""

    @abstractmethod
    def _mask_error(self, index: int) -> None:
        """Set the error of this layer to 0 wherever ReLU has set the output to 0."""

    @abstractmethod
    def _compute_output_error(self, y: Any) -> None:  # noqa: ANN401 - an array
        """Set the last layer's error, (softmax - truth) / N, and add to the sums."""

    @abstractmethod
    def _adam(self, rate: float) -> None:
        """Update the parameters as chainer.optimizers.Adam does."""

    @abstractmethod
    def _momentum_sgd(self, rate: float) -> None:
        """Update the parameters as chainer.optimizers.MomentumSGD does."""

    @abstractmethod
    def _sgd(self, rate: float) -> None:
        """Update the parameters as chainer.optimizers.SGD does."""


def _views(flat: Any, parameters: list[Any]) -> list[Any]:  # noqa: ANN401 - arrays
    """Return views of a flat array in the shapes of the parameters."""
    ends: Any = np.cumsum([parameter.size for parameter in parameters])
    return [
        flat[end - parameter.size : end].reshape(parameter.shape)
        for end, parameter in zip(ends, parameters, strict=True)
    ]
