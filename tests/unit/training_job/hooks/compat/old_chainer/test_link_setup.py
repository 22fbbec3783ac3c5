from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest
from chainer import cuda, optimizers
from chainer.training import StandardUpdater

X: Any = np.ones((2, 3), "f")


class ScopeFirst(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    def __init__(self) -> None:
        with self.init_scope():
            self.before = L.Linear(3, 2)
            super().__init__()
            self.after = L.Linear(2, 1)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        return self.after(self.before(x))


class NoInit(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    def __init__(self) -> None:
        with self.init_scope():
            self.only = L.Linear(3, 2)

    def __call__(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        return self.only(x)


@pytest.mark.parametrize(("kind", "names"), [(ScopeFirst, ["after", "before"]), (NoInit, ["only"])])
def test_a_scope_before_init_registers_links_that_train(kind: type, names: list[str]) -> None:
    model = kind()
    assert sorted(child.name for child in model.children()) == names
    optimizer = optimizers.SGD(0.1).setup(model)
    before = [parameter.array.copy() for parameter in model.params()]
    optimizer.update(lambda: F.sum(model(X)))
    assert all((a != b.array).any() for a, b in zip(before, model.params(), strict=True))


class ScopeInParameter(chainer.Link):  # type: ignore[misc] # Chainer has no types
    def __init__(self) -> None:
        with self.init_scope():
            self.W = chainer.Parameter(1, (2, 3))
        super().__init__()


def test_a_parameter_that_was_registered_early_stays() -> None:
    assert [name for name, _ in ScopeInParameter().namedparams()] == ["/W"]


class OwnDevice(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    def __init__(self, device: int) -> None:
        self.device = device
        super().__init__()
        with self.init_scope():
            self.layer = L.Linear(3, 2)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        if self.device >= 0:
            x = cuda.to_gpu(x)
        return self.layer(self.xp.asarray(x))


def test_a_link_with_a_device_of_its_own() -> None:
    model = OwnDevice(-1)
    assert model(X).shape == (2, 2)
    model.device = 3
    assert (model.device, model.copy().device, model.xp) == (3, 3, np)
    model.to_device("@numpy")
    assert model.layer.device == chainer.get_device("@numpy")
    del model.device
    assert model.device == chainer.get_device("@numpy")


class Lazy(chainer.Link):  # type: ignore[misc] # Chainer has no types
    def __init__(self) -> None:
        super().__init__()
        self.add_uninitialized_param("W")

    def __call__(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        if self.has_uninitialized_params:
            self.add_param("W", (2, x.shape[1]), initializer=0.5)
        return F.linear(x, self.W)


def test_a_parameter_that_gets_its_shape_later_is_trained() -> None:
    link = Lazy()
    optimizer = optimizers.SGD(0.1).setup(link)
    assert link.has_uninitialized_params
    optimizer.update(lambda: F.sum(link(X)))
    assert not link.has_uninitialized_params
    assert link.W.array.tolist() == [[pytest.approx(0.3)] * 3] * 2


def test_devices_are_numbers() -> None:
    cpu = chainer.get_device("@numpy")
    assert (cpu >= 0, cpu < 0, cpu == -1, cpu != 0, int(cpu), f"{cpu:}") == (False, True, True, True, -1, "@numpy")
    assert (cpu == chainer.get_device(-1), cpu == "x") == (True, False)
    assert {cpu: 1}[chainer.get_device(-1)] == 1
    assert cuda.get_device_from_id(cpu) == cuda._get_cuda_device(cpu) == cuda.DummyDevice
    with pytest.raises(TypeError):
        cpu >= "0"  # noqa: B015 - the comparison fails


class OldUpdater(StandardUpdater):  # type: ignore[misc] # Chainer has no types
    """An updater as scripts for Chainer 3 to 5 wrote them."""

    def update_core(self) -> None:
        batch = self.get_iterator("main").next()
        x = chainer.dataset.concat_examples(batch, self.device)
        if self.device >= 0:
            x = cuda.to_gpu(x, self.device)
        optimizer = self.get_optimizer("main")
        optimizer.update(lambda: F.sum(optimizer.target(x)))


@pytest.mark.parametrize("device", [-1, "@numpy"])
def test_an_updater_that_compares_its_device(device: object) -> None:
    model = L.Linear(3, 2, nobias=True, initialW=1)
    optimizer = optimizers.SGD(0.1).setup(model)
    OldUpdater(chainer.iterators.SerialIterator(X, 2), optimizer, device=device).update()
    assert model.W.array.tolist() == [[pytest.approx(0.8)] * 3] * 2
