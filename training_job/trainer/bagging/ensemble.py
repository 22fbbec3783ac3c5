"""Trains an ensemble of networks by bagging: each member is stopped early on a fold that it does not see.

For each recipe, one network is trained for each fold and repeat. The recipes whose mean has the lowest loss on examples
that its members have not seen are kept together (a linear model may be one of them), so every example is trained on by
four fifths of the members.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import chainer
import numpy as np

from training_job.trainer import networks
from training_job.trainer.bagging.members import Budget, Examples, Measure, Members, Recipe, Rows, Trained

_MOST_VALIDATED = 4000  # examples of a fold that early stopping looks at


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A trained recipe, its outputs for examples that its members were not trained on, (N, outputs), and their loss."""

    recipe: Recipe
    trained: Trained
    unseen: Any
    loss: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The candidates that are kept of those tried, and the loss of the mean of their outputs on unseen examples."""

    candidates: tuple[Candidate, ...]
    tried: tuple[Candidate, ...]
    loss: float

    @property
    def widths(self) -> list[list[int]]:
        """The widths of the hidden layers of each member."""
        return [
            list(candidate.recipe.hidden)
            for candidate in self.candidates
            for _ in range(len(candidate.trained.best_steps))
        ]


def train(
    examples: Examples,
    recipes: Sequence[Recipe],
    rows: Rows,
    budget: Budget,
    *,
    seed: int,
    watch: Callable[[Recipe, Measure], None] = lambda _recipe, _measure: None,
) -> Chosen:
    """Train each recipe and return the best of all their combinations. Call `watch` after each validation."""
    candidates = []
    every = np.unique(np.concatenate(rows.validation))
    for number, recipe in enumerate(recipes):
        members = Members(examples, recipe, _validated_by(rows), seed=seed + number)
        trained = members.train(budget, lambda measure, recipe=recipe: watch(recipe, measure))  # type: ignore[misc] # mypy infers no default
        unseen = _unseen(examples, trained, rows)
        loss = examples.loss(unseen[every], every)
        candidates.append(Candidate(recipe=recipe, trained=trained, unseen=unseen, loss=loss))
    return _best(examples, tuple(candidates), every)


def _validated_by(rows: Rows) -> Rows:
    return Rows(train=rows.train, validation=[part[:_MOST_VALIDATED] for part in rows.validation])


def _unseen(examples: Examples, trained: Trained, rows: Rows) -> Any:  # noqa: ANN401 - an array
    total: Any = np.zeros((len(examples.x), examples.outputs), np.float32)
    counts: Any = np.zeros((len(examples.x), 1), np.float32)
    for member, held_out in enumerate(rows.validation):
        total[held_out] += trained.outputs_of(member, examples.x[held_out])
        counts[held_out] += 1
    return total / np.maximum(counts, 1)


def _best(examples: Examples, candidates: tuple[Candidate, ...], rows: Any) -> Chosen:  # noqa: ANN401 - an array
    found = []
    for count in range(1, len(candidates) + 1):
        for some in itertools.combinations(candidates, count):
            outputs = np.mean([candidate.unseen[rows] for candidate in some], axis=0)
            found.append(Chosen(candidates=some, tried=candidates, loss=examples.loss(outputs, rows)))
    return min(found, key=lambda chosen: chosen.loss)


def network_of(chosen: Chosen, inputs: Sequence[int], outputs: int) -> Any:  # noqa: ANN401 - Chainer has no types
    """Return the `networks.Ensemble` of all members of the chosen candidates."""
    network = networks.Ensemble(inputs=inputs, classes=outputs, members=chosen.widths)
    sources = (
        (candidate.trained.layers, member)
        for candidate in chosen.candidates
        for member in range(len(candidate.trained.best_steps))
    )
    with chainer.no_backprop_mode():
        for mlp, (layers, member) in zip(network.members, sources, strict=True):
            for link, (weights, biases) in zip((*mlp.hidden, mlp.output), layers, strict=True):
                link.W.array[...] = weights[member].T
                link.b.array[...] = biases[member, 0]
    return network
