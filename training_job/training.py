"""The built-in trainer's loop: trains a network, measures it after each epoch, and keeps the best."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import numpy as np

from training_job.datasets import Split, Table
from training_job.inputs import Inputs

_MEASURE_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train. `shift` is how many pixels a picture may be moved each way, anew each time it is seen."""

    epochs: int = 20
    batch_size: int = 100
    optimizer: str = "adam"
    learning_rate: float | None = None
    momentum: float = 0.9
    schedule: str = "cosine"
    shift: int = 1
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to: means over all examples, weighted rightly. The losses are cross entropies in nats."""

    number: int
    loss: float
    train_accuracy: float
    validation_loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """The epochs, and the network of the best one (highest held-out accuracy; of equals the lowest loss)."""

    epochs: tuple[Epoch, ...]
    best: Epoch
    network: Any


OPTIMIZERS: dict[str, tuple[float, Callable[[float, float], Any]]] = {
    "adam": (0.002, lambda rate, momentum: chainer.optimizers.Adam(alpha=rate, beta1=momentum)),
    "momentum": (0.01, lambda rate, momentum: chainer.optimizers.MomentumSGD(lr=rate, momentum=momentum)),
    "sgd": (0.05, lambda rate, _: chainer.optimizers.SGD(lr=rate)),
}
"""Name, default learning rate, and how to make it. Adam's first decay rate is its momentum."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}
"""The share of the learning rate that is used when this share of the training is done."""


class Trainer:
    """Trains one network on one split. The same seed gives the same weights on a CPU."""

    def __init__(self, network: Any, split: Split, inputs: Inputs, options: Options, device: Any) -> None:  # noqa: ANN401
        self._network = network
        self._split = split
        self._inputs = inputs
        self._options = options
        self._device = device
        self._rng = np.random.default_rng(options.seed)
        default, make = OPTIMIZERS[options.optimizer]
        self._rate = default if options.learning_rate is None else options.learning_rate
        self._optimizer = make(self._rate, options.momentum)

    def run(self, report: Callable[[Epoch], None]) -> Result:
        """Train for all epochs and call `report` after each."""
        self._device.use()
        self._network.to_device(self._device)
        self._optimizer.setup(self._network)
        epochs: list[Epoch] = []
        best, kept = None, None
        for number in range(1, self._options.epochs + 1):
            loss, train_accuracy = self._train(number - 1)
            validation_loss, accuracy = self._measure(self._split.held_out)
            epoch = Epoch(
                number=number,
                loss=loss,
                train_accuracy=train_accuracy,
                validation_loss=validation_loss,
                accuracy=accuracy,
            )
            epochs.append(epoch)
            if best is None or (epoch.accuracy, -epoch.validation_loss) > (best.accuracy, -best.validation_loss):
                best, kept = epoch, copy.deepcopy(self._network)
            report(epoch)
        if best is None or kept is None:
            raise ValueError("epochs is below 1")
        kept.to_device("@numpy")
        return Result(epochs=tuple(epochs), best=best, network=kept)

    def _train(self, epochs_done: int) -> tuple[float, float]:
        """Return the epoch's mean loss and accuracy, as they were while it was trained."""
        rows = self._rng.permutation(len(self._split.train))
        starts = range(0, len(rows), self._options.batch_size)
        loss_sum, right = 0.0, 0
        for index, start in enumerate(starts):
            self._set_rate((epochs_done + index / len(starts)) / self._options.epochs)
            batch = self._split.train.take(rows[start : start + self._options.batch_size])
            x, y = self._send(batch, shift=self._options.shift if self._inputs.are_pictures else 0)
            scores = self._network(x)
            loss = F.softmax_cross_entropy(scores, y)
            self._network.cleargrads()
            loss.backward()
            self._optimizer.update()
            loss_sum += float(loss.array) * len(batch)
            right += int((scores.array.argmax(axis=1) == y).sum())
        return loss_sum / len(rows), right / len(rows)

    def _measure(self, table: Table) -> tuple[float, float]:
        """Return mean loss and accuracy in test mode."""
        loss_sum, right = 0.0, 0
        with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
            for start in range(0, len(table), _MEASURE_BATCH):
                batch = table.take(slice(start, start + _MEASURE_BATCH))
                x, y = self._send(batch)
                scores = self._network(x)
                loss_sum += float(F.softmax_cross_entropy(scores, y).array) * len(batch)
                right += int((scores.array.argmax(axis=1) == y).sum())
        return loss_sum / len(table), right / len(table)

    def _set_rate(self, done: float) -> None:
        rate = self._rate * SCHEDULES[self._options.schedule](done)
        setattr(self._optimizer, "alpha" if self._options.optimizer == "adam" else "lr", rate)

    def _send(self, batch: Table, *, shift: int = 0) -> tuple[Any, Any]:
        x = self._inputs.prepare(batch.x)
        if shift:
            x = shifted(x, shift, self._rng)
        return self._device.send(x), self._device.send(batch.y)


def shifted(x: Any, most: int, rng: Any) -> Any:  # noqa: ANN401 - arrays, and NumPy's generator
    """Return the pictures (N, channels, height, width), each moved by up to `most` pixels each way; 0 fills the gap."""
    count, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = rng.integers(0, 2 * most + 1, (2, count))
    return np.ascontiguousarray(windows[np.arange(count), :, down, right])
