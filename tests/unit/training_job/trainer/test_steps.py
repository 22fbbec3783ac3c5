"""Both implementations of a training step give the same numbers."""

from typing import Any

import chainer
import numpy as np
import pytest

from training_job.trainer import networks
from training_job.trainer.cpu_mlp_step import CpuMlpStep
from training_job.trainer.steps import OPTIMIZERS, ChainerStep, make_step


def network(seed: int = 0, **options: Any) -> Any:  # noqa: ANN401 - Chainer has no types
    np.random.seed(seed)  # noqa: NPY002 - what Chainer draws from
    return networks.build("mlp", {"inputs": [12], "classes": 3, "hidden": [40, 30], **options})


def batches(count: int = 12) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    sizes = [7 if index % 5 == 4 else 16 for index in range(count)]
    return [(rng.normal(size=(size, 12)).astype(np.float32), rng.integers(0, 3, size, np.int32)) for size in sizes]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [[40, 30], [200, 150], []])
def test_a_step_of_ours_is_chainers_to_float32_rounding(optimizer: str, hidden: list[int]) -> None:
    ours, chainers = network(hidden=hidden), network(hidden=hidden)
    mine = make_step(ours, optimizer, 0.01, 0.9)
    theirs = ChainerStep(chainers, OPTIMIZERS[optimizer][1](0.01, 0.9))
    assert isinstance(mine, CpuMlpStep)
    for number, (x, y) in enumerate(batches()):
        rate = 0.01 / (1 + number)
        mine.train(x, y, rate)
        theirs.train(x, y, rate)
        (loss, right), (other_loss, other_right) = mine.pop_sums(), theirs.pop_sums()
        assert loss == pytest.approx(other_loss, rel=1e-5)
        assert right == other_right
    for mine_parameter, their_parameter in zip(ours.params(), chainers.params(), strict=True):
        np.testing.assert_allclose(mine_parameter.array, their_parameter.array, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_update_alone_is_chainers_to_the_bit(optimizer: str) -> None:
    ours, chainers = network(), network()
    step = CpuMlpStep(ours, optimizer, 0.9)
    stock = OPTIMIZERS[optimizer][1](0.01, 0.9).setup(chainers)
    rng = np.random.default_rng(2)
    for _ in range(5):
        for slopes, link in zip(step._gradient_views, (*chainers.hidden, chainers.output), strict=True):
            for slope, parameter in zip(slopes, (link.W, link.b), strict=True):
                slope[...] = parameter.grad = rng.normal(size=slope.shape).astype(np.float32)
        step._count += 1
        step._update(0.01)
        stock.update()
    for mine, theirs in zip(ours.params(), chainers.params(), strict=True):
        assert np.array_equal(mine.array, theirs.array)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_state_that_was_kept_goes_on_as_if_nothing_had_been(optimizer: str, dropout: float) -> None:
    first, again = network(dropout=dropout), network(dropout=dropout)
    step = make_step(first, optimizer, 0.01, 0.9)
    for x, y in batches(4):
        step.train(x, y, 0.01)
    state, weights = step.state(), chainer.serializers.npz.serialize(first)
    other = make_step(again, optimizer, 0.01, 0.9)
    other.load_state(state)
    chainer.serializers.NpzDeserializer(weights).load(again)
    for one, which in ((step, first), (other, again)):
        np.random.seed(7)  # noqa: NPY002 - what dropout draws from
        for x, y in batches(3):
            one.train(x, y, 0.005)
        assert which.output.W.array.base is not None or dropout
    assert all(np.array_equal(a.array, b.array) for a, b in zip(first.params(), again.params(), strict=True))


def test_a_state_of_mixed_precision_keeps_what_float16_does_not() -> None:
    with chainer.using_config("dtype", chainer.mixed16):
        first, again = network(), network()
    step, other = (make_step(one, "momentum", 0.01, 0.9, mixed=True) for one in (first, again))
    for x, y in batches(4):
        step.train(x, y, 1e-4)
    step.pop_sums()
    # As the trainer keeps the weights, in float32 made of float16.
    weights = {name: np.array(value) for name, value in chainer.serializers.npz.serialize(first).items()}
    other.load_state(step.state())
    chainer.serializers.NpzDeserializer(weights).load(again)
    for x, y in batches(8)[4:]:
        other.train(x, y, 1e-4)
        step.train(x, y, 1e-4)
    assert other.pop_sums() == step.pop_sums()
    for mine, theirs in zip(first.params(), again.params(), strict=True):
        assert np.array_equal(mine.update_rule._fp32_param.array, theirs.update_rule._fp32_param.array)
    assert {name: value.tolist() for name, value in step.state().items()} == {
        name: value.tolist() for name, value in other.state().items()
    }


def test_networks_that_chainer_itself_trains() -> None:
    assert isinstance(make_step(network(dropout=0.5), "adam", 0.1, 0.9), ChainerStep)

    class Own(networks.Mlp):
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - arrays
            return super().forward(x) * 2

    assert isinstance(make_step(Own(inputs=[12], classes=3), "adam", 0.1, 0.9), ChainerStep)


def test_mixed_precision_updates_in_float32() -> None:
    with chainer.using_config("dtype", chainer.mixed16):
        half = network()
    assert half.output.W.dtype == np.float16
    step = make_step(half, "momentum", 0.01, 0.9, mixed=True)
    for x, y in batches(3):
        step.train(x, y, 0.01)
    assert np.isfinite(step.pop_sums()[0])
    assert half.output.W.update_rule._fp32_param is not None
