"""Trains many small networks of one shape at once: each step is one batched matrix product for all of them.

A network of a small table is so small that Python takes longer than the arithmetic. With a leading axis for the members
of an ensemble, ten of them take hardly more time than one.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training_job.trainer.batches import shifted
from training_job.trainer.loop import SCHEDULES

_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8  # of Adam: https://arxiv.org/abs/1412.6980


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train one kind of network: widths of the hidden layers, and Adam with decoupled weight decay.

    `dropout` is the fraction of each hidden layer that is dropped.
    """

    hidden: tuple[int, ...]
    rate: float = 0.003
    decay: float = 0.01
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs `x`, float32 (N, inputs), truth `y` and the weight of each example in the loss, float32 (N,).

    `y` is int32 (N,), classes from 0, or float32 (N,), a quantity of mean 0 and deviation 1. `outputs` is the number of
    classes, and 1 for a quantity. While training, pictures of `picture_shape` (channels, height, width) are moved at
    random by up to `shift` pixels.
    """

    x: Any
    y: Any
    weights: Any
    outputs: int
    picture_shape: tuple[int, ...] | None = None
    shift: int = 0

    def drawn(self, rows: Any, rng: np.random.Generator) -> Any:  # noqa: ANN401 - arrays
        """Return the inputs to train with, float32 (M, R, inputs), of rows (M, R)."""
        x = self.x[rows]
        if self.picture_shape is None or not self.shift:
            return x
        moves = rng.integers(-self.shift, self.shift + 1, (2, rows.size))
        return shifted(x.reshape(-1, *self.picture_shape), *moves, fill=self.x.min()).reshape(x.shape)

    @property
    def are_classes(self) -> bool:
        """Whether the truth is a class."""
        return bool(self.y.dtype.kind == "i")

    def loss(self, outputs: Any, rows: Any) -> float:  # noqa: ANN401 - arrays
        """Return the mean weighted loss of outputs (R, outputs) for these rows (R,)."""
        return float(_losses_and_errors(self, outputs[None], rows[None])[0].mean())


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that each member trains on and is validated with: integer arrays, one for each member."""

    train: Sequence[Any]
    validation: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps at most, examples in a batch, steps between two validations, and validations without an improvement."""

    steps: int
    batch_size: int
    interval: int
    patience: int


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Means over the members after `step` steps: losses are in nats, or squared errors in the target's deviations."""

    step: int
    loss: float
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The layers of each member at its best step: weights (M, inputs, outputs) and biases (M, 1, outputs)."""

    layers: tuple[tuple[Any, Any], ...]
    best_steps: Any
    steps: int
    history: tuple[Measure, ...]

    def outputs_of(self, member: int, x: Any) -> Any:  # noqa: ANN401 - arrays
        """Return the outputs of one member, (N, outputs), for inputs (N, inputs)."""
        return forward([(weights[member], biases[member]) for weights, biases in self.layers], x)[-1]


@dataclass
class _Best:
    """The best weights of each member so far, and when they were."""

    values: Any
    losses: Any
    steps: Any
    stale: int = 0
    history: list[Measure] = field(default_factory=list)


def forward(layers: Sequence[tuple[Any, Any]], x: Any) -> list[Any]:  # noqa: ANN401 - arrays
    """Return the outputs of each layer, after ReLU but for the last."""
    outputs = []
    for index, (weights, biases) in enumerate(layers):
        x = np.matmul(x, weights)
        x += biases
        if index < len(layers) - 1:
            np.maximum(x, 0, out=x)
        outputs.append(x)
    return outputs


class Members:
    """Networks of one shape that are trained together. The same seed gives the same weights."""

    def __init__(self, examples: Examples, recipe: Recipe, rows: Rows, *, seed: int) -> None:
        self._examples, self._recipe, self._rows = examples, recipe, rows
        self._count = len(rows.train)
        self._rng = np.random.default_rng(seed)
        sizes = (examples.x.shape[1], *recipe.hidden, examples.outputs)
        shapes = [
            shape
            for before, after in itertools.pairwise(sizes)
            for shape in ((self._count, before, after), (self._count, 1, after))
        ]
        total = sum(int(np.prod(shape)) for shape in shapes)
        buffers: Any = np.zeros((5, total), np.float32)
        self._values, self._slopes, self._first, self._second, self._free = buffers
        self._layers = _pairs(_views(self._values, shapes))
        self._layer_slopes = _pairs(_views(self._slopes, shapes))
        self._shapes = shapes
        for weights, _ in self._layers:
            weights[...] = self._rng.normal(0, weights.shape[1] ** -0.5, weights.shape)
        self._steps = 0

    def train(self, budget: Budget, watch: Callable[[Measure], None] = lambda _: None) -> Trained:
        """Train until the budget ends, or no member has improved for long. Call `watch` after each validation."""
        best = _Best(self._values.copy(), np.full(self._count, np.inf), np.zeros(self._count, np.int64))
        losses: list[float] = []
        for rows in self._batches(budget.batch_size):
            rate = self._recipe.rate * SCHEDULES["cosine"](self._steps / budget.steps)
            losses.append(self._step(rows, rate))
            if self._steps % budget.interval == 0 or self._steps == budget.steps:
                self._validate(best, losses)
                watch(best.history[-1])
                losses = []
                if best.stale >= budget.patience or self._steps == budget.steps:
                    break
        return Trained(
            layers=tuple(_pairs(_views(best.values, self._shapes))), best_steps=best.steps, steps=self._steps,
            history=tuple(best.history),
        )  # fmt: skip

    def _batches(self, size: int) -> Iterator[Any]:
        """Yield rows (M, size), in a new random order of each member's rows each time they have all been used."""
        length = min(len(rows) for rows in self._rows.train)
        size = min(size, length)
        while True:
            plan = np.stack([self._rng.permutation(rows)[:length] for rows in self._rows.train])
            for start in range(0, length - size + 1, size):
                yield plan[:, start : start + size]

    def _step(self, rows: Any, rate: float) -> float:  # noqa: ANN401 - an array
        x = self._examples.drawn(rows, self._rng)
        outputs: list[Any] = []
        for index, (weights, biases) in enumerate(self._layers):
            output = np.matmul(outputs[-1] if outputs else x, weights)
            output += biases
            if index < len(self._layers) - 1:
                np.maximum(output, 0, out=output)
                if self._recipe.dropout:
                    mask = self._rng.random(output.shape, np.float32) >= self._recipe.dropout
                    output *= mask
                    output *= np.float32(1 / (1 - self._recipe.dropout))
            outputs.append(output)
        losses, error = _losses_and_errors(self._examples, outputs[-1], rows)
        error /= np.float32(rows.shape[1])
        for index in reversed(range(len(self._layers))):
            weight_slope, bias_slope = self._layer_slopes[index]
            before = outputs[index - 1] if index else x
            np.matmul(before.transpose(0, 2, 1), error, out=weight_slope)
            np.sum(error, axis=1, keepdims=True, out=bias_slope)
            if index:
                error = np.matmul(error, self._layers[index][0].transpose(0, 2, 1))
                error *= before > 0
                if self._recipe.dropout:
                    error *= np.float32(1 / (1 - self._recipe.dropout))
        self._steps += 1
        self._update(rate)
        return float(losses.mean())

    def _update(self, rate: float) -> None:
        """Update as Adam with decoupled weight decay does: https://arxiv.org/abs/1711.05101."""
        free, slopes = self._free, self._slopes
        for weights, _ in self._layers:
            np.multiply(weights, np.float32(1 - rate * self._recipe.decay), out=weights)
        self._first *= np.float32(_FIRST_DECAY)
        np.multiply(slopes, np.float32(1 - _FIRST_DECAY), out=free)
        self._first += free
        self._second *= np.float32(_SECOND_DECAY)
        np.multiply(slopes, slopes, out=free)
        free *= np.float32(1 - _SECOND_DECAY)
        self._second += free
        correction = (1 - _SECOND_DECAY**self._steps) ** 0.5 / (1 - _FIRST_DECAY**self._steps)
        np.sqrt(self._second, out=free)
        free += np.float32(_EPSILON)
        np.divide(self._first, free, out=free)
        free *= np.float32(rate * correction)
        self._values -= free

    def _validate(self, best: _Best, losses: list[float]) -> None:
        found = np.array([self._loss_of(member, rows) for member, rows in enumerate(self._rows.validation)])
        better = found < best.losses
        best.stale = 0 if better.any() else best.stale + 1
        best.losses = np.where(better, found, best.losses)
        best.steps = np.where(better, self._steps, best.steps)
        kept = _views(best.values, self._shapes)
        for view, now in zip(kept, _views(self._values, self._shapes), strict=True):
            view[better] = now[better]
        best.history.append(Measure(step=self._steps, loss=float(np.mean(losses)), validation_loss=float(found.mean())))

    def _loss_of(self, member: int, rows: Any) -> float:  # noqa: ANN401 - an array
        layers = [(weights[member], biases[member]) for weights, biases in self._layers]
        return self._examples.loss(forward(layers, self._examples.x[rows])[-1], rows)


def _losses_and_errors(examples: Examples, outputs: Any, rows: Any) -> tuple[Any, Any]:  # noqa: ANN401 - arrays
    """Return the weighted losses (M, N), and the slopes of their sum by the outputs (M, N, outputs)."""
    truth, weights = examples.y[rows], examples.weights[rows]
    if not examples.are_classes:
        error = outputs[:, :, 0] - truth
        weighted = weights * error
        return weighted * error, 2 * weighted[:, :, None]
    outputs = outputs - outputs.max(axis=2, keepdims=True)
    error = np.exp(outputs)
    sums = error.sum(axis=2, keepdims=True)
    index = truth[:, :, None]
    losses = np.log(sums[:, :, 0]) - np.take_along_axis(outputs, index, axis=2)[:, :, 0]
    error /= sums
    np.put_along_axis(error, index, np.take_along_axis(error, index, axis=2) - 1, axis=2)
    error *= weights[:, :, None]
    return weights * losses, error


def _views(flat: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:  # noqa: ANN401 - arrays
    ends: Any = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [flat[end - int(np.prod(shape)) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]


def _pairs(views: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(views[::2], views[1::2], strict=True))
