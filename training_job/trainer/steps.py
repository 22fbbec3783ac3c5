"""One step of training: forward, loss, backward, update.

`ChainerStep` uses Chainer's autograd, for any network on any device. `Mlp` has a faster implementation with the same
results up to float32 rounding: see `training_job.trainer.mlp_step`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import numpy as np

from training_job.trainer.cpu_mlp_step import CpuMlpStep
from training_job.trainer.gpu_mlp_step import GpuMlpStep
from training_job.trainer.networks import Mlp

OPTIMIZERS: dict[str, tuple[float, Callable[[float, float], Any]]] = {
    "adam": (0.003, lambda rate, momentum: chainer.optimizers.Adam(alpha=rate, beta1=momentum)),
    "momentum": (0.01, lambda rate, momentum: chainer.optimizers.MomentumSGD(lr=rate, momentum=momentum)),
    "sgd": (0.05, lambda rate, _: chainer.optimizers.SGD(lr=rate)),
}
"""By name: the default learning rate, and a function of rate and momentum. Adam's momentum is its beta1."""

_MASTER, _SCALE = "master", "scale"
_SCALING = ("_loss_scale", "_loss_scaling_isnan_ever")


class Step(Protocol):
    """Trains a network, one batch at a time."""

    def train(self, x: Any, y: Any, rate: float) -> None:  # noqa: ANN401 - arrays
        """Train with inputs x, float32 (N, …), without waiting for a GPU.

        y (N,) has classes, int32, or quantities, float32.
        """

    def pop_sums(self) -> tuple[float, int]:
        """Return the sum of losses and the number of correctly classified examples since the last call.

        Both are from before each update. In a regression, the number means nothing.
        """

    def state(self) -> dict[str, Any]:
        """Return the optimizer's state, as arrays."""

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""


def loss_of(outputs: Any, y: Any, *, is_regression: bool) -> Any:  # noqa: ANN401 - arrays and Variables
    """Return the mean cross entropy of scores (N, classes), or the mean squared error of quantities (N, 1)."""
    if is_regression:
        return F.mean_squared_error(F.reshape(outputs, y.shape), y.astype(outputs.dtype))
    return F.softmax_cross_entropy(outputs, y)


def make_step(
    network: Any,  # noqa: ANN401 - Chainer has no types
    optimizer: str,
    rate: float,
    momentum: float,
    *,
    mixed: bool = False,
    is_regression: bool = False,
) -> Step:
    """Return the fastest step for a network on its device. `mixed` computes in float16, updates in float32."""
    if type(network) is Mlp and not mixed and not is_regression and network.dropout == 0:
        if isinstance(network.device, chainer.backend.CpuDevice):
            return CpuMlpStep(network, optimizer, momentum)
        if isinstance(network.device, chainer.backend.GpuDevice):
            return GpuMlpStep(network, optimizer, momentum)
    return ChainerStep(network, OPTIMIZERS[optimizer][1](rate, momentum), mixed=mixed, is_regression=is_regression)


class ChainerStep:
    """Chainer's autograd and optimizer."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - Chainer has no types
        optimizer: Any,  # noqa: ANN401 - as above
        *,
        mixed: bool = False,
        is_regression: bool = False,
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._mixed = mixed
        self._is_regression = is_regression
        # On the network's device, as reading a number waits for the GPU.
        self._loss: Any = np.float64(0)
        self._right: Any = 0
        if mixed:
            optimizer.use_fp32_update()
        optimizer.setup(network)
        if mixed:
            optimizer.loss_scaling()

    def train(self, x: Any, y: Any, rate: float) -> None:  # noqa: ANN401 - arrays
        """See `Step`."""
        setattr(self._optimizer, "alpha" if hasattr(self._optimizer, "alpha") else "lr", rate)
        with chainer.using_config("dtype", chainer.mixed16 if self._mixed else np.float32):
            scores = self._network(x.astype(np.float16) if self._mixed else x)
            loss = loss_of(scores, y, is_regression=self._is_regression)
            self._network.cleargrads()
            loss.backward(loss_scale=self._optimizer._loss_scale)  # noqa: SLF001 - as Optimizer.update does
        self._optimizer.update()
        self._loss += loss.array.astype(np.float64) * len(x)
        self._right += (scores.array.argmax(axis=1) == y).sum()

    def pop_sums(self) -> tuple[float, int]:
        """See `Step`."""
        sums = float(self._loss), int(self._right)
        self._loss, self._right = np.float64(0), 0
        return sums

    def state(self) -> dict[str, Any]:
        """See `Step`."""
        serializer = chainer.serializers.DictionarySerializer()
        serializer.save(self._optimizer)
        arrays = {name: np.array(value) for name, value in serializer.target.items()}
        if not self._mixed:
            return arrays
        # Chainer does not serialize the float32 weights and the loss scale of mixed precision.
        masters = {name: rule._fp32_param for name, rule in self._rules()}  # noqa: SLF001 - as above
        arrays |= {
            _MASTER + name: chainer.backends.cuda.to_cpu(master.array)
            for name, master in masters.items()
            if master is not None
        }
        return arrays | {_SCALE: np.array([getattr(self._optimizer, name) for name in _SCALING])}

    def load_state(self, arrays: Mapping[str, Any]) -> None:
        """See `Step`."""
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
