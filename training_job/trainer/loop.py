"""The loop of the built-in trainer: trains a network, evaluates it after each epoch, and keeps the best weights."""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import chainer
import numpy as np

from training_job import random_state
from training_job.checkpoints import Checkpoint, CheckpointInterval, Store
from training_job.sigterm import EXIT_CODE, Termination
from training_job.trainer.batches import Batches
from training_job.trainer.datasets.table import Split, Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.preprocessing import Preprocessor
from training_job.trainer.steps import OPTIMIZERS, Step, loss_of, make_step

_MEASURE_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train.

    `shift` is the max number of pixels by which each picture is moved at random in each epoch. With `patience` above 0,
    the training ends after that many consecutive epochs without an improvement. `mixed` means float16, on GPUs only.
    `learning_rate` None is the optimizer's default.
    """

    epochs: int = 20
    batch_size: int = 100
    optimizer: str = "adam"
    learning_rate: float | None = None
    momentum: float = 0.9
    schedule: str = "cosine"
    shift: int = 1
    seed: int = 0
    patience: int = 0
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The results of one epoch: means over all examples.

    In a classification losses are cross entropies in nats, and accuracies are from 0 to 1. In a regression losses are
    squared errors, and accuracies are None.
    """

    number: int
    loss: float
    train_accuracy: float | None
    validation_loss: float
    validation_accuracy: float | None

    @property
    def quality(self) -> tuple[float, float]:
        """Sort key of epochs: by the accuracy on validation examples, then by their lower loss."""
        return self.validation_accuracy or 0.0, -self.validation_loss

    def values(self) -> dict[str, float]:
        """Return the metrics by name."""
        values = {name: value for name, value in asdict(self).items() if name != "number" and value is not None}
        # The loss of a network that diverged is no number, and compares with nothing.
        return {name: float(value) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Result:
    """All epochs, the best one, the network with its weights, and the weights of the last epoch by Chainer's names."""

    epochs: tuple[Epoch, ...]
    best: Epoch
    network: Any
    last: Mapping[str, Any]


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "step": lambda done: 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)),
}
"""Factors of the learning rate by the fraction of the training that is done, from 0 to 1."""


@dataclass
class _Progress:
    """The state of the training: in epoch `number`, before its batch `index`. Checkpoints store it by these names."""

    number: int = 1
    index: int = 0
    plan: Any = None
    loss_sum: float = 0.0
    right: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    def add(self, loss: float, right: int) -> None:
        """Add the sums of a step: losses, and correctly classified examples."""
        self.loss_sum += loss
        self.right += right

    @property
    def best(self) -> Epoch:
        return max(self.epochs, key=lambda epoch: (*epoch.quality, -epoch.number))


class Trainer:
    """Trains a network on a split. On a CPU, the same seed gives the same weights."""

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - Chainer has no types
        split: Split,
        preprocessor: Preprocessor,
        options: Options,
        device: Any,  # noqa: ANN401 - as above
        *,
        store: Store | None = None,
        watch: Callable[[int, float], None] = lambda _number, _done: None,
    ) -> None:
        """Create a trainer.

        Args:
            network: a Chain from inputs to scores before softmax, or to a quantity (N, 1).
            split: the examples to train on, and those to validate with. Quantities have mean 0 and deviation 1.
            preprocessor: turns examples into inputs.
            options: how to train.
            device: the Chainer device to train on.
            store: the checkpoints to continue from and to write; none by default.
            watch: called after each batch with the epoch's number and the fraction of it that is done.
        """
        self._network = network
        self._split = split
        self._preprocessor = preprocessor
        self._options = options
        self._device = device
        self._store = store
        self._watch = watch
        self._is_regression = split.train.task is Task.REGRESSION
        self._rng = np.random.default_rng(options.seed)
        self._rate = OPTIMIZERS[options.optimizer][0] if options.learning_rate is None else options.learning_rate
        self._batches = Batches(split.train, preprocessor, device, shift=options.shift)
        self._interval = CheckpointInterval()

    def run(self, report: Callable[[Epoch], None]) -> Result:
        """Train for all epochs, or until there is no improvement for `patience` epochs. Call `report` after each.

        SIGTERM ends the process with 128 + 15 after the batch, with a checkpoint if there is a store.

        Raises:
            ValueError: `epochs` is below 1.
        """
        if self._options.epochs < 1:
            raise ValueError("epochs is below 1")
        self._device.use()
        self._network.to_device(self._device)
        options = self._options
        step = make_step(
            self._network, options.optimizer, self._rate, options.momentum,
            mixed=options.mixed, is_regression=self._is_regression,
        )  # fmt: skip
        progress = self._restore(step)
        with Termination() as termination:
            while progress.number <= self._options.epochs and not self._is_out_of_patience(progress):
                self._train(step, progress, termination)
                epoch = self._finish_epoch(progress)
                progress.epochs.append(epoch)
                if progress.best is epoch:
                    progress.kept = self._weights()
                progress.number, progress.index, progress.plan = progress.number + 1, 0, None
                report(epoch)
                self._save_if_due(step, progress, termination)
        last = self._weights()
        for parameter in self._network.params():
            parameter.array = parameter.array.astype(np.float32)  # mixed precision leaves float16
        chainer.serializers.NpzDeserializer(progress.kept).load(self._network)
        self._network.to_device("@numpy")
        return Result(epochs=tuple(progress.epochs), best=progress.best, network=self._network, last=last)

    def _is_out_of_patience(self, progress: _Progress) -> bool:
        patience = self._options.patience
        return 0 < patience <= len(progress.epochs) - (progress.best.number if progress.epochs else 0)

    def _train(self, step: Step, progress: _Progress, termination: Termination) -> None:
        if progress.plan is None:
            progress.plan = self._batches.draw(self._rng)
            progress.loss_sum, progress.right = 0.0, 0
        self._batches.begin(progress.plan)
        size = self._options.batch_size
        count = -(-len(self._split.train) // size)
        while progress.index < count:
            start = progress.index * size
            x, y = self._batches.take(slice(start, start + size))
            rate = self._rate_at((progress.number - 1 + progress.index / count) / self._options.epochs)
            step.train(x, y, rate)
            progress.index += 1
            self._watch(progress.number, progress.index / count)
            if progress.index < count:
                self._save_if_due(step, progress, termination)
        progress.add(*step.pop_sums())

    def _finish_epoch(self, progress: _Progress) -> Epoch:
        count = len(self._split.train)
        validation_loss, accuracy = self._measure(self._split.held_out)
        return Epoch(
            number=progress.number,
            loss=progress.loss_sum / count,
            train_accuracy=None if self._is_regression else progress.right / count,
            validation_loss=validation_loss,
            validation_accuracy=None if self._is_regression else accuracy,
        )

    def _measure(self, table: Table) -> tuple[float, float]:
        """Return the mean loss and the accuracy in test mode."""
        loss_sum, right = 0.0, 0
        mixed = self._options.mixed
        with (
            chainer.using_config("train", False),  # noqa: FBT003 - Chainer's signature
            chainer.using_config("dtype", chainer.mixed16 if mixed else np.float32),
            chainer.no_backprop_mode(),
        ):
            for start in range(0, len(table), _MEASURE_BATCH):
                batch = table.take(slice(start, start + _MEASURE_BATCH))
                x, y = self._device.send(self._preprocessor.prepare(batch.x)), self._device.send(batch.y)
                scores = self._network(x.astype(np.float16) if mixed else x).array.astype(np.float32)
                loss_sum += float(loss_of(scores, y, is_regression=self._is_regression).array) * len(batch)
                right += int((scores.argmax(axis=1) == y).sum())
        return loss_sum / len(table), right / len(table)

    def _rate_at(self, done: float) -> float:
        return self._rate * SCHEDULES[self._options.schedule](done)

    def _weights(self) -> dict[str, Any]:
        """Return a copy of all weights in float32, as chainer.serializers.save_npz would write them."""
        arrays = chainer.serializers.npz.serialize(self._network)
        return {
            name: np.array(value, np.float32 if value.dtype == np.float16 else value.dtype)
            for name, value in arrays.items()
        }

    # --- checkpoints

    def _restore(self, step: Step) -> _Progress:
        """Restore the state of an earlier start of the job and return its progress, or that of a new training."""
        if self._store is None:
            return _Progress()
        for checkpoint in self._store.newest_first():
            if checkpoint.notes["training"] != self._identity():
                continue
            arrays: dict[str, dict[str, Any]] = {"network": {}, "kept": {}, "step": {}, "plan": {}}
            for name, value in checkpoint.arrays.items():
                part, _, rest = name.partition("/")
                arrays[part][rest] = value
            chainer.serializers.NpzDeserializer(arrays["network"]).load(self._network)
            step.load_state(arrays["step"])
            random_state.restore(checkpoint.notes["random"])
            self._rng.bit_generator.state = checkpoint.notes["rng"]
            notes = checkpoint.notes["progress"]
            notes["epochs"] = [Epoch(**epoch) for epoch in notes["epochs"]]
            self._store.remove_after(checkpoint.iteration)
            return _Progress(plan=arrays["plan"].get(""), kept=arrays["kept"], **notes)
        self._store.remove_after(0)
        return _Progress()

    def _save_if_due(self, step: Step, progress: _Progress, termination: Termination) -> None:
        if self._store is not None and (self._interval.is_due() or termination.is_requested):
            with self._interval.writing():
                progress.add(*step.pop_sums())
                self._store.save(self._checkpoint(step, progress))
        if termination.is_requested:
            sys.exit(EXIT_CODE)

    def _checkpoint(self, step: Step, progress: _Progress) -> Checkpoint:
        parts = {"network": self._weights(), "kept": progress.kept, "step": step.state()}
        arrays = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
        if progress.plan is not None:
            arrays["plan/"] = progress.plan
        batches = -(-len(self._split.train) // self._options.batch_size)
        return Checkpoint(
            iteration=(progress.number - 1) * batches + progress.index,
            arrays=arrays,
            notes={
                "training": self._identity(),
                "random": random_state.capture(),
                "rng": self._rng.bit_generator.state,
                "progress": {
                    "number": progress.number,
                    "index": progress.index,
                    "loss_sum": progress.loss_sum,
                    "right": progress.right,
                    "epochs": [asdict(epoch) for epoch in progress.epochs],
                },
            },
        )

    def _identity(self) -> dict[str, Any]:
        """Return the values by which a checkpoint is recognized as one of this training."""
        return {
            **asdict(self._options),
            "task": self._split.train.task,
            "network": type(self._network).__name__,
            "shapes": {name: list(value.shape) for name, value in self._weights().items()},
            "examples": [len(self._split.train), len(self._split.held_out)],
        }
