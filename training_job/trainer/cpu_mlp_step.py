"""`MlpStep` on a CPU: about twice as fast as Chainer, as the update works in blocks that fit the cache."""

from typing import Any

import numpy as np

from training_job.trainer.mlp_step import EPSILON, SECOND_DECAY, MlpStep
from training_job.trainer.networks import Mlp

_BLOCK = 1 << 14  # float32 values: four arrays of them fit the level 2 cache of a core


class CpuMlpStep(MlpStep):
    """Training of an `Mlp` with NumPy."""

    def __init__(self, network: Mlp, optimizer: str, momentum: float) -> None:
        super().__init__(network, optimizer, momentum)
        self._loss, self._right = 0.0, 0
        self._masks: list[Any] = []
        self._scratch: Any = np.zeros(_BLOCK, np.float32)

    def pop_sums(self) -> tuple[float, int]:
        """See `training_job.trainer.steps.Step`."""
        sums = self._loss, self._right
        self._loss, self._right = 0.0, 0
        return sums

    def _allocate(self, count: int) -> None:
        super()._allocate(count)
        self._masks = [np.empty(output.shape, bool) for output in self._outputs]

    def _add_bias(self, output: Any, bias: Any, *, rectify: bool) -> None:  # noqa: ANN401 - arrays
        output += bias
        if rectify:
            np.maximum(output, 0, out=output)

    def _mask_error(self, index: int) -> None:
        np.greater(self._outputs[index], 0, out=self._masks[index])
        self._errors[index] *= self._masks[index]

    def _compute_output_error(self, y: Any) -> None:  # noqa: ANN401 - an array
        scores, error = self._outputs[-1], self._errors[-1]
        rows = np.arange(len(y))
        self._right += int((scores.argmax(axis=1) == y).sum())
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=error)
        sums = error.sum(axis=1, keepdims=True)
        self._loss += float(np.log(sums).sum() - scores[rows, y].sum())
        error /= sums
        error[rows, y] -= 1
        error *= np.float32(1 / len(y))

    def _blocks(self, *arrays: Any) -> Any:  # noqa: ANN401 - views of the arrays, and of the scratch
        for start in range(0, len(self._values), _BLOCK):
            parts = [array[start : start + _BLOCK] for array in arrays]
            yield (*parts, self._scratch[: len(parts[0])])

    def _adam(self, rate: float) -> None:
        # In Chainer's order of operations, so that the update is bit-identical.
        first, second = np.float32(1 - self._momentum), np.float32(1 - SECOND_DECAY)
        rate_now, epsilon = np.float32(self._adam_rate(rate)), np.float32(EPSILON)
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
