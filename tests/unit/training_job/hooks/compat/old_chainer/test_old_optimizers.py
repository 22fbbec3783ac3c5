# ruff: noqa: ANN401, NPY002 - Chainer has no types, takes flags by position, and draws from NumPy's generator
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest
from chainer import optimizers


def data() -> tuple[Any, Any]:
    x = np.random.RandomState(7).rand(20, 6).astype("f")
    return x, (x[:, 0] > 0.5).astype("i")


def test_a_loop_of_chainer_1_computes_what_it_did() -> None:
    """`FunctionSet`, links of `chainer.functions`, gradient methods, volatile; numbers of Chainer 1.24.0."""
    np.random.seed(0)
    x, t = data()
    model = chainer.FunctionSet(l1=F.Linear(6, 5, wscale=2), l2=F.Linear(5, 2))
    optimizer = optimizers.MomentumSGD(0.1)
    optimizer.setup(model.collect_parameters())

    def forward(*, train: bool) -> Any:
        v, labels = chainer.Variable(x, volatile=not train), chainer.Variable(t, volatile=not train)
        h = F.dropout(F.relu(model.l1(v), use_cudnn=False), ratio=0.2, train=train)
        return F.softmax_cross_entropy(model.l2(h), labels, use_cudnn=False)

    for _ in range(30):
        optimizer.zero_grads()
        loss = forward(train=True)
        loss.backward()
        optimizer.weight_decay(0.01)
        optimizer.clip_grads(0.5)
        optimizer.update()
    tested = forward(train=False)
    assert tested.creator is None
    found = [float(loss.array), float(tested.array), optimizer.compute_grads_norm()]
    assert found == pytest.approx([0.274619, 0.197343, 0.21132], rel=1e-4)


def test_gradients_of_another_source_are_added() -> None:
    link = L.Linear(2, 1, nobias=True)
    optimizer = optimizers.SGD().setup(link)
    optimizer.zero_grads()
    optimizer.accumulate_grads([np.ones((1, 2), "f")] * 1)
    optimizer.accumulate_grads([np.ones((1, 2), "f")])
    assert link.W.grad.tolist() == [[2, 2]]


class SumOfGradients(chainer.optimizer.GradientMethod):  # type: ignore[misc] # Chainer has no types
    """An optimizer as Chainer 1 had them written."""

    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr

    def init_state(self, param: Any, state: Any) -> None:
        state["sum"] = np.zeros_like(param.data)

    def update_one_cpu(self, param: Any, state: Any) -> None:
        state["sum"] += param.grad
        param.data -= self.lr * state["sum"]


def test_an_optimizer_with_its_own_update_of_a_parameter() -> None:
    link = L.Linear(2, 1, nobias=True, initialW=0)
    optimizer = SumOfGradients()
    optimizer.setup(link)
    for _ in range(2):
        optimizer.update(lambda: F.sum(link(np.ones((1, 2), "f"))))
    assert link.W.array.tolist() == [[pytest.approx(-0.3)] * 2]
    assert optimizer.t == 2


@pytest.mark.parametrize("first", ["script", "updater"])
def test_epochs_that_the_script_counts_itself(first: str) -> None:
    optimizer = optimizers.SGD().setup(L.Linear(2, 1))
    optimizer.use_auto_new_epoch = True
    if first == "updater":
        optimizer.new_epoch(auto=True)
    for _ in range(3):
        optimizer.new_epoch()
        optimizer.new_epoch(auto=True)
    assert optimizer.epoch == 3


def test_epochs_that_only_the_updater_counts() -> None:
    optimizer = optimizers.SGD().setup(L.Linear(2, 1))
    optimizer.use_auto_new_epoch = True
    optimizer.new_epoch(auto=True)
    assert optimizer.epoch == 1
