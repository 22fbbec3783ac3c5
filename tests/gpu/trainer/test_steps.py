"""On a GPU, batches are what they are on a CPU, and a step of ours comes to Chainer's numbers."""

from typing import Any

import chainer
import numpy as np
import pytest

from training_job.trainer import networks
from training_job.trainer.batches import Batches
from training_job.trainer.datasets.table import Table
from training_job.trainer.gpu_mlp_step import GpuMlpStep
from training_job.trainer.preprocessing import Preprocessor
from training_job.trainer.steps import OPTIMIZERS, ChainerStep, make_step

SIZES = (16, 16, 7, 30)


def network(hidden: list[int]) -> Any:  # noqa: ANN401 - Chainer has no types
    np.random.seed(0)  # noqa: NPY002 - what Chainer draws from
    made = networks.build("mlp", {"inputs": [12], "classes": 3, "hidden": hidden})
    made.to_device("@cupy:0")
    return made


def batches() -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    device = chainer.get_device("@cupy:0")
    drawn = [(rng.normal(size=(size, 12)).astype(np.float32), rng.integers(0, 3, size, np.int32)) for size in SIZES]
    return [(device.send(x), device.send(y)) for x, y in drawn]


def weights(network: Any) -> list[Any]:  # noqa: ANN401 - Chainer has no types
    return [chainer.backends.cuda.to_cpu(parameter.array) for parameter in network.params()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [[40, 30], []])
def test_a_step_of_ours_is_chainers_to_float32_rounding(optimizer: str, hidden: list[int]) -> None:
    ours, chainers = network(hidden), network(hidden)
    mine = make_step(ours, optimizer, 0.01, 0.9)
    theirs = ChainerStep(chainers, OPTIMIZERS[optimizer][1](0.01, 0.9))
    assert isinstance(mine, GpuMlpStep)
    for number, (x, y) in enumerate(batches() * 3):
        for step in (mine, theirs):
            step.train(x, y, 0.01 / (1 + number))
        (loss, right), (other_loss, other_right) = mine.pop_sums(), theirs.pop_sums()
        assert loss == pytest.approx(other_loss, rel=1e-5)
        assert right == other_right
    for one, other in zip(weights(ours), weights(chainers), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_that_was_kept_goes_on_as_if_nothing_had_been(optimizer: str) -> None:
    first, again = network([40]), network([40])
    step, other = make_step(first, optimizer, 0.01, 0.9), make_step(again, optimizer, 0.01, 0.9)
    for x, y in batches():
        step.train(x, y, 0.01)
    sums = step.pop_sums()
    assert sums[0] > 0
    other.load_state(step.state())
    chainer.serializers.NpzDeserializer(chainer.serializers.npz.serialize(first)).load(again)
    for one in (step, other):
        for x, y in batches():
            one.train(x, y, 0.005)
    assert step.pop_sums() == other.pop_sums() != sums
    assert all(np.array_equal(one, other) for one, other in zip(weights(first), weights(again), strict=True))


@pytest.mark.parametrize("shape", [(1, 6, 5), (30,)])
@pytest.mark.parametrize("shift", [0, 2])
def test_batches_are_those_of_a_cpu(shape: tuple[int, ...], shift: int) -> None:
    rng = np.random.default_rng(0)
    x: Any = rng.integers(0, 255, (20, 6, 5)).astype(np.uint8)
    table = Table(x=x, y=np.arange(20, dtype=np.int32), source="random", classes=tuple(map(str, range(20))))
    mean, scale = np.array([0], np.float32), np.array([0.5], np.float32)
    preprocessor = Preprocessor(shape=(6, 5), network_shape=shape, mean=mean, scale=scale)
    on_cpu, on_gpu = (
        Batches(table, preprocessor, chainer.get_device(name), shift=shift) for name in ("@numpy", "@cupy:0")
    )
    plan = on_cpu.draw(np.random.default_rng(1))
    for batches in (on_cpu, on_gpu):
        batches.begin(plan)
    for part in (slice(3), slice(15, 25)):
        for expected, found in zip(on_cpu.take(part), on_gpu.take(part), strict=True):
            assert isinstance(found, chainer.backends.cuda.ndarray)
            assert np.array_equal(chainer.backends.cuda.to_cpu(found), expected)
