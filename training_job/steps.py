"""One step of training: forward, loss, backward, update.

`ChainerStep` is Chainer's own way, for any network on any device. `MlpStep` does the same for an `Mlp` on a CPU about
twice as fast: all parameters lie in one buffer and all gradients in another, matrix products write straight into
them, nothing is allocated or zeroed, and the optimizer passes over both in blocks that stay in the cache. Both give
the same numbers, to float32 rounding.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import numpy as np

from training_job.networks import Mlp

OPTIMIZERS: dict[str, tuple[float, Callable[[float, float], Any]]] = {
    "adam": (0.003, lambda rate, momentum: chainer.optimizers.Adam(alpha=rate, beta1=momentum)),
    "momentum": (0.01, lambda rate, momentum: chainer.optimizers.MomentumSGD(lr=rate, momentum=momentum)),
    "sgd": (0.05, lambda rate, _: chainer.optimizers.SGD(lr=rate)),
}
"""Name, default learning rate, and how to make it. Adam's first decay rate is its momentum."""

_MASTER, _SCALE = "master", "scale"
_SCALING = ("_loss_scale", "_loss_scaling_isnan_ever")
_BLOCK = 1 << 14  # float32 values: four arrays of them stay in a core's second cache


class Step(Protocol):
    """What trains a network by one batch at a time."""

    def train(self, x: Any, y: Any, rate: float) -> tuple[float, int]:  # noqa: ANN401 - arrays
        """Take one step for inputs x, float32, and classes y, int32.

        Returns the sum of the examples' losses, and how many were classed rightly, both before the update.
        """

    def state(self) -> dict[str, Any]:
        """Return the optimizer's state, as arrays."""

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""


def make_step(network: Any, optimizer: str, rate: float, momentum: float, *, mixed: bool = False) -> Step:  # noqa: ANN401
    """Return the fastest step for a network on its device. `mixed` computes in float16 and updates in float32."""
    on_cpu = isinstance(network.device, chainer.backend.CpuDevice)
    if type(network) is Mlp and on_cpu and not mixed and network.dropout == 0:
        return MlpStep(network, optimizer, momentum)
    return ChainerStep(network, OPTIMIZERS[optimizer][1](rate, momentum), mixed=mixed)


class ChainerStep:
    """Chainer's autograd and optimizer."""

    def __init__(self, network: Any, optimizer: Any, *, mixed: bool = False) -> None:  # noqa: ANN401 - Chainer has no types
        self._network = network
        self._optimizer = optimizer
        self._mixed = mixed
        if mixed:
            optimizer.use_fp32_update()
        optimizer.setup(network)
        if mixed:
            optimizer.loss_scaling()

    def train(self, x: Any, y: Any, rate: float) -> tuple[float, int]:  # noqa: ANN401 - arrays
        setattr(self._optimizer, "alpha" if hasattr(self._optimizer, "alpha") else "lr", rate)
        with chainer.using_config("dtype", chainer.mixed16 if self._mixed else np.float32):
            scores = self._network(x.astype(np.float16) if self._mixed else x)
            loss = F.softmax_cross_entropy(scores, y)
            self._network.cleargrads()
            loss.backward(loss_scale=self._optimizer._loss_scale)  # noqa: SLF001 - as Optimizer.update does
        self._optimizer.update()
        return float(loss.array) * len(x), int((scores.array.argmax(axis=1) == y).sum())

    def state(self) -> dict[str, Any]:
        serializer = chainer.serializers.DictionarySerializer()
        serializer.save(self._optimizer)
        arrays = {name: np.array(value) for name, value in serializer.target.items()}
        if not self._mixed:
            return arrays
        # What mixed precision has beside that, and Chainer does not keep: the weights in float32, and the scale.
        masters = {name: rule._fp32_param for name, rule in self._rules()}  # noqa: SLF001 - as above
        arrays |= {
            _MASTER + name: chainer.backends.cuda.to_cpu(master.array)
            for name, master in masters.items()
            if master is not None
        }
        return arrays | {_SCALE: np.array([getattr(self._optimizer, name) for name in _SCALING])}

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        chainer.serializers.NpzDeserializer(arrays).load(self._optimizer)
        if not self._mixed:
            return
        for name, rule in self._rules():
            if _MASTER + name in arrays:
                master = chainer.Parameter(np.array(arrays[_MASTER + name]), name=name.rpartition("/")[2])
                master.to_device(self._network.device)
                rule._fp32_param = master  # noqa: SLF001 - as above
        scale, was_too_large = arrays[_SCALE].tolist()
        self._optimizer._loss_scale = scale  # noqa: SLF001 - set_loss_scale would end its growth
        self._optimizer._loss_scaling_isnan_ever = bool(was_too_large)  # noqa: SLF001 - as above

    def _rules(self) -> list[tuple[str, Any]]:
        return [(name, parameter.update_rule) for name, parameter in self._network.namedparams()]


class MlpStep:
    """Training of an `Mlp` without dropout, on a CPU."""

    def __init__(self, network: Mlp, optimizer: str, momentum: float) -> None:
        self._layers = [*network.hidden, network.output]
        parameters = [parameter for layer in self._layers for parameter in (layer.W, layer.b)]
        total = sum(parameter.size for parameter in parameters)
        self._values: Any = np.zeros(total, np.float32)
        self._gradients: Any = np.zeros(total, np.float32)
        self._scratch: Any = np.zeros(_BLOCK, np.float32)
        self._moments = [np.zeros(total, np.float32) for _ in range({"adam": 2, "momentum": 1, "sgd": 0}[optimizer])]
        self._update = {"adam": self._adam, "momentum": self._momentum_sgd, "sgd": self._sgd}[optimizer]
        self._momentum = momentum
        self._count = 0
        self._weights: list[tuple[Any, Any]] = []
        self._slopes: list[tuple[Any, Any]] = []
        views = iter(_views(self._values, parameters))
        slopes = iter(_views(self._gradients, parameters))
        for layer in self._layers:
            for parameter in (layer.W, layer.b):
                view = next(views)
                view[...] = parameter.array
                parameter.array = view
            self._weights.append((layer.W.array, layer.b.array))
            self._slopes.append((next(slopes), next(slopes)))
        self._outputs: list[Any] = []
        self._errors: list[Any] = []
        self._masks: list[Any] = []

    def train(self, x: Any, y: Any, rate: float) -> tuple[float, int]:  # noqa: ANN401 - arrays
        x = x.reshape(len(x), -1)
        self._make_room(len(x))
        loss, right = self._forward(x, y)
        self._backward(x)
        self._count += 1
        self._update(rate)
        return loss, right

    def state(self) -> dict[str, Any]:
        moments = {f"moment{index}": moment.copy() for index, moment in enumerate(self._moments)}
        return {"count": np.array(self._count), **moments}

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        self._count = int(arrays["count"])
        for index, moment in enumerate(self._moments):
            moment[...] = arrays[f"moment{index}"]

    def _make_room(self, count: int) -> None:
        if self._outputs and len(self._outputs[0]) == count:
            return
        widths = [weights.shape[0] for weights, _ in self._weights]
        self._outputs, self._errors, self._masks = (
            [np.empty((count, width), dtype) for width in widths] for dtype in (np.float32, np.float32, bool)
        )

    def _forward(self, x: Any, y: Any) -> tuple[float, int]:  # noqa: ANN401 - arrays
        """Fill the outputs, and the error of the last one: softmax less the truth, by the number of examples."""
        last = len(self._weights) - 1
        for index, (weights, bias) in enumerate(self._weights):
            output = self._outputs[index]
            np.dot(x, weights.T, out=output)
            output += bias
            if index < last:
                np.maximum(output, 0, out=output)
            x = output
        scores, error, rows = self._outputs[last], self._errors[last], np.arange(len(y))
        right = int((scores.argmax(axis=1) == y).sum())
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=error)
        sums = error.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).sum() - scores[rows, y].sum())
        error /= sums
        error[rows, y] -= 1
        error *= np.float32(1 / len(y))
        return loss, right

    def _backward(self, x: Any) -> None:  # noqa: ANN401 - an array
        for index in reversed(range(len(self._weights))):
            error, before = self._errors[index], self._outputs[index - 1] if index else x
            weight_slope, bias_slope = self._slopes[index]
            np.dot(error.T, before, out=weight_slope)
            np.add.reduce(error, axis=0, out=bias_slope)
            if index:
                np.dot(error, self._weights[index][0], out=self._errors[index - 1])
                np.greater(before, 0, out=self._masks[index - 1])
                self._errors[index - 1] *= self._masks[index - 1]

    def _blocks(self, *arrays: Any) -> Any:  # noqa: ANN401 - views of the arrays, and of the scratch
        for start in range(0, len(self._values), _BLOCK):
            parts = [array[start : start + _BLOCK] for array in arrays]
            yield (*parts, self._scratch[: len(parts[0])])

    def _adam(self, rate: float) -> None:
        """Do what chainer.optimizers.Adam does, in the same order: https://arxiv.org/abs/1412.6980."""
        first, second = np.float32(1 - self._momentum), np.float32(1 - 0.999)
        correction = (1 - 0.999**self._count) ** 0.5 / (1 - self._momentum**self._count)
        rate_now, epsilon = np.float32(rate * correction), np.float32(1e-8)
        for value, slope, m, v, free in self._blocks(self._values, self._gradients, *self._moments):
            np.subtract(slope, m, out=free)
            np.multiply(free, first, out=free)
            np.add(m, free, out=m)
            np.multiply(slope, slope, out=free)
            np.subtract(free, v, out=free)
            np.multiply(free, second, out=free)
            np.add(v, free, out=v)
            np.sqrt(v, out=free)
            np.add(free, epsilon, out=free)
            np.divide(rate_now, free, out=free)
            np.multiply(free, m, out=free)
            np.subtract(value, free, out=value)

    def _momentum_sgd(self, rate: float) -> None:
        momentum, rate_now = np.float32(self._momentum), np.float32(rate)
        for value, slope, v, free in self._blocks(self._values, self._gradients, *self._moments):
            np.multiply(v, momentum, out=v)
            np.multiply(slope, rate_now, out=free)
            np.subtract(v, free, out=v)
            np.add(value, v, out=value)

    def _sgd(self, rate: float) -> None:
        rate_now = np.float32(rate)
        for value, slope, free in self._blocks(self._values, self._gradients):
            np.multiply(slope, rate_now, out=free)
            np.subtract(value, free, out=value)


def _views(flat: Any, parameters: list[Any]) -> list[Any]:  # noqa: ANN401 - arrays
    """Return the parts of a flat array in the shapes of the parameters."""
    ends: Any = np.cumsum([parameter.size for parameter in parameters])
    return [
        flat[end - parameter.size : end].reshape(parameter.shape)
        for end, parameter in zip(ends, parameters, strict=True)
    ]
