"""`MlpStep` on a GPU: fewer kernels than Chainer starts, and no synchronization before `pop_sums`."""

from typing import Any

import numpy as np
from chainer.backends import cuda

from training_job.trainer.mlp_step import EPSILON, SECOND_DECAY, MlpStep
from training_job.trainer.networks import Mlp


class GpuMlpStep(MlpStep):
    """Training of an `Mlp` with CuPy."""

    def __init__(self, network: Mlp, optimizer: str, momentum: float) -> None:
        super().__init__(network, optimizer, momentum)
        self._losses: Any = self._xp.zeros(0, np.float64)
        self._rights: Any = self._xp.zeros(0, np.int64)

    def pop_sums(self) -> tuple[float, int]:
        """See `training_job.trainer.steps.Step`."""
        sums = float(self._losses.sum()), int(self._rights.sum())
        self._losses.fill(0)
        self._rights.fill(0)
        return sums

    def _allocate(self, count: int) -> None:
        super()._allocate(count)
        more = count - len(self._losses)
        if more > 0:
            self._losses = self._xp.append(self._losses, self._xp.zeros(more, np.float64))
            self._rights = self._xp.append(self._rights, self._xp.zeros(more, np.int64))

    def _add_bias(self, output: Any, bias: Any, *, rectify: bool) -> None:  # noqa: ANN401 - arrays
        if rectify:
            kernel = cuda.elementwise("T bias", "T output", "output = max(output + bias, (T)0)", "kedja_bias_relu")
        else:
            kernel = cuda.elementwise("T bias", "T output", "output = output + bias", "kedja_bias")
        kernel(bias, output)

    def _mask_error(self, index: int) -> None:
        cuda.elementwise("T output", "T error", "if (!(output > 0)) error = 0", "kedja_mask")(
            self._outputs[index], self._errors[index]
        )

    def _compute_output_error(self, y: Any) -> None:  # noqa: ANN401 - an array
        scores, error = self._outputs[-1], self._errors[-1]
        # One thread per example, as a batch usually has more examples than there are classes.
        cuda.elementwise(
            "raw T scores, I truth, int32 classes, T share", "raw T error, float64 loss, int64 right",
            """
            const ptrdiff_t row = i * classes;
            int best = 0;
            for (int k = 1; k < classes; ++k) if (scores[row + k] > scores[row + best]) best = k;
            const T highest = scores[row + best];
            T sum = 0;
            for (int k = 0; k < classes; ++k) sum += exp(scores[row + k] - highest);
            for (int k = 0; k < classes; ++k)
                error[row + k] = (exp(scores[row + k] - highest) / sum - (k == truth)) * share;
            loss += log(sum) + highest - scores[row + truth];
            right += best == truth;
            """,
            "kedja_softmax_cross_entropy",
        )(scores, y, scores.shape[1], 1 / len(y), error, self._losses[: len(y)], self._rights[: len(y)])  # fmt: skip

    def _adam(self, rate: float) -> None:
        cuda.elementwise(
            "T slope, T first, T second, T rate, T epsilon", "T value, T m, T v",
            """
            m += first * (slope - m);
            v += second * (slope * slope - v);
            value -= rate * m / (sqrt(v) + epsilon);
            """,
            "kedja_adam",
        )(
            self._gradients, 1 - self._momentum, 1 - SECOND_DECAY, self._adam_rate(rate), EPSILON,
            self._values, *self._moments,
        )  # fmt: skip

    def _momentum_sgd(self, rate: float) -> None:
        cuda.elementwise(
            "T slope, T momentum, T rate", "T value, T v",
            "v = momentum * v - rate * slope; value += v",
            "kedja_momentum_sgd",
        )(self._gradients, self._momentum, rate, self._values, *self._moments)  # fmt: skip

    def _sgd(self, rate: float) -> None:
        cuda.elementwise("T slope, T rate", "T value", "value -= rate * slope", "kedja_sgd")(
            self._gradients, rate, self._values
        )
