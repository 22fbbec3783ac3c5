"""Networks that are trained together, and the ensemble that is made of them."""

from dataclasses import replace
from typing import Any

import chainer
import numpy as np
import pytest

from training_job.trainer import networks
from training_job.trainer.bagging import ensemble
from training_job.trainer.bagging.budget import EFFORTS, Quality, batch_size, budget_of, epochs_of
from training_job.trainer.bagging.members import Budget, Examples, Members, Recipe, Rows
from training_job.trainer.steps import loss_of

RECIPES = (Recipe(hidden=()), Recipe(hidden=(16,)))


def examples(*, is_quantity: bool = False, count: int = 90) -> Examples:
    rng = np.random.default_rng(0)
    y: Any = np.arange(count) % 3
    x = (np.array([[0, 0], [3, 0], [0, 3]])[y] + rng.normal(0, 0.3, (count, 2))).astype(np.float32)
    if is_quantity:
        y = x[:, 0] - 2 * x[:, 1]
        y = ((y - y.mean()) / y.std()).astype(np.float32)
    else:
        y = y.astype(np.int32)
    return Examples(x=x, y=y, weights=np.ones(count, np.float32), outputs=1 if is_quantity else 3)


def rows(count: int = 90, folds: int = 3) -> Rows:
    numbers: Any = np.arange(count) // 3 % folds
    return Rows(
        train=[np.flatnonzero(numbers != fold) for fold in range(folds)],
        validation=[np.flatnonzero(numbers == fold) for fold in range(folds)],
    )


BUDGET = Budget(steps=200, batch_size=16, interval=20, patience=5)


@pytest.mark.parametrize("is_quantity", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_a_step_has_the_slopes_that_chainer_computes(hidden: tuple[int, ...], *, is_quantity: bool) -> None:
    given = examples(is_quantity=is_quantity)
    members = Members(given, Recipe(hidden=hidden), rows(), seed=1)
    batch: Any = np.array([[1, 5, 30], [2, 8, 44], [0, 3, 61]])
    layers = [(weights.copy(), biases.copy()) for weights, biases in members._layers]
    mean = members._step(batch, 0.001)
    losses = []
    for member in range(3):
        network = networks.Mlp(inputs=(2,), classes=given.outputs, hidden=hidden)
        links = (*network.hidden, network.output)
        for link, (weights, biases) in zip(links, layers, strict=True):
            link.W.array, link.b.array = weights[member].T.copy(), biases[member, 0]
        loss = loss_of(network(given.x[batch[member]]), given.y[batch[member]], is_regression=is_quantity)
        network.cleargrads()
        loss.backward()
        losses.append(float(loss.array))
        for link, (weights, biases) in zip(links, members._layer_slopes, strict=True):
            np.testing.assert_allclose(weights[member].T, link.W.grad, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(biases[member, 0], link.b.grad, rtol=1e-4, atol=1e-6)
    assert mean == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("is_quantity", [False, True])
def test_an_ensemble_is_the_mean_of_its_members(*, is_quantity: bool) -> None:
    given = examples(is_quantity=is_quantity)
    chosen = ensemble.train(given, RECIPES, rows(), BUDGET, seed=0)
    assert chosen.loss == min(chosen.loss, *(candidate.loss for candidate in chosen.tried)) < 0.5
    network = ensemble.network_of(chosen, (2,), given.outputs)
    outputs = [one.trained.outputs_of(member, given.x) for one in chosen.candidates for member in range(3)]
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        np.testing.assert_allclose(network(given.x).array, np.mean(outputs, axis=0), rtol=1e-4, atol=1e-5)


def test_what_is_unseen_was_trained_on_by_no_member() -> None:
    given = examples()
    chosen = ensemble.train(given, RECIPES[:1], rows(), BUDGET, seed=0)
    (candidate,) = chosen.candidates
    for member, held_out in enumerate(rows().validation):
        expected = candidate.trained.outputs_of(member, given.x[held_out])
        np.testing.assert_allclose(candidate.unseen[held_out], expected, rtol=1e-6)


def test_a_seed_and_a_number_of_steps_give_the_same_members() -> None:
    first, again, other = (
        Members(examples(), RECIPES[1], rows(), seed=seed).train(BUDGET).layers[0][0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_training_stops_when_no_member_improves() -> None:
    recipe = Recipe(hidden=(16,), rate=3.0)
    trained = Members(examples(), recipe, rows(), seed=0).train(
        Budget(steps=5000, batch_size=16, interval=5, patience=3)
    )
    assert trained.steps == trained.best_steps.max() + 3 * 5 < 5000
    assert len(trained.history) == trained.steps // 5


def test_the_budget_follows_the_data_alone() -> None:
    assert [batch_size(rows) for rows in (10, 600, 2000, 1_000_000)] == [16, 32, 64, 256]
    effort = EFFORTS[Quality.GOOD]
    assert budget_of(150, steps=None, effort=effort).steps == effort.steps
    assert budget_of(1_000_000, steps=None, effort=effort).steps == 4 * 1_000_000 // 256
    assert budget_of(1_000_000, steps=70, effort=effort) == Budget(steps=70, batch_size=256, interval=1, patience=15)
    assert epochs_of(1000, 100, steps=45, effort=effort) == 5
    assert epochs_of(100_000, 100, steps=None, effort=effort) == effort.epochs


def test_small_pictures_are_moved_while_training_and_only_then() -> None:
    x: Any = np.zeros((2, 1, 4, 4), np.float32)
    x[:, 0, 1, 1] = 1
    given = Examples(
        x=x.reshape(2, -1), y=np.array([0, 1], np.int32), weights=np.ones(2, np.float32), outputs=2,
        picture_shape=(1, 4, 4), shift=1,
    )  # fmt: skip
    rows: Any = np.zeros((3, 200), np.int64)
    moved = given.drawn(rows, np.random.default_rng(0)).reshape(-1, 4, 4)
    assert {tuple(np.argwhere(picture)[0]) for picture in moved} == {(i, j) for i in range(3) for j in range(3)}
    assert np.array_equal(replace(given, shift=0).drawn(rows, np.random.default_rng(0)), given.x[rows])
