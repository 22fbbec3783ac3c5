"""A Trainer as Chainer 1 had it written. The training losses are those of Chainer 1.24.0."""

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest
from chainer import optimizers, training
from chainer.training import extensions


class Net(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    def __init__(self, *, train: bool = True) -> None:
        super().__init__(
            conv=L.Convolution2D(1, 3, 2, wscale=1.5, use_cudnn=False, deterministic=True),
            bn=L.BatchNormalization(3),
            fc=L.Linear(6, 2),
        )
        self.train = train

    def __call__(self, x: Any, t: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        x = F.reshape(x, (x.shape[0], 1, 2, 3))
        h = F.dropout(F.relu(self.bn(self.conv(x), test=not self.train)), train=self.train)
        loss = F.softmax_cross_entropy(self.fc(h), t)
        chainer.report({"loss": loss}, self)
        return loss


class CalledFirst(training.Extension):  # type: ignore[misc] # Chainer has no types
    invoke_before_training = True
    trigger = 1, "epoch"

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def __call__(self, trainer: Any) -> None:  # noqa: ANN401 - Chainer has no types
        self.calls.append(f"class {trainer.updater.iteration}")


def test_extensions_and_losses(tmp_path: Path) -> None:
    np.random.seed(0)  # noqa: NPY002 - Chainer draws from NumPy's global generator
    x = np.random.RandomState(7).rand(20, 6).astype("f")
    t = (x[:, 0] > 0.5).astype("i")
    model = Net()
    optimizer = optimizers.Adam()
    optimizer.setup(model)
    iterator = chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(x, t), 5, shuffle=False)
    trainer = training.Trainer(training.StandardUpdater(iterator, optimizer), (3, "epoch"), out=str(tmp_path))
    calls: list[str] = []

    @training.make_extension(trigger=(1, "epoch"), invoke_before_training=True)  # type: ignore[untyped-decorator] # as above
    def decorated(trainer: Any) -> None:  # noqa: ANN401 - Chainer has no types
        calls.append(f"decorated {trainer.updater.iteration}")

    trainer.extend(extensions.snapshot(trigger=(2, "epoch")))
    trainer.extend(extensions.snapshot_object(model, "model_{.updater.iteration}", trigger=(8, "iteration")))
    trainer.extend(CalledFirst(calls))
    trainer.extend(decorated)
    trainer.extend(lambda _: calls.append("given"), name="given", trigger=(3, "epoch"), invoke_before_training=True)
    trainer.extend(extensions.LogReport())
    trainer.run()
    losses = [entry["main/loss"] for entry in trainer.get_extension("LogReport").log]
    assert losses == pytest.approx([1.31979, 0.94626, 1.19301], rel=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "model_8", "snapshot_iter_8"]
    assert sorted(calls[:3]) == ["class 0", "decorated 0", "given"]
    assert (calls.count("class 12"), calls.count("decorated 12"), calls.count("given")) == (1, 1, 2)


def test_chainers_own_extensions_are_called_as_they_are() -> None:
    updater = MagicMock(iteration=0)
    trainer = training.Trainer(updater, (1, "iteration"))
    trainer.extend(extensions.PolynomialShift("lr", 0.5, 5))  # has a remaining flag
    trainer.extend(lambda _: None, name="other")
    assert [entry.call_before_training for entry in trainer._extensions.values()] == [False, False]


def test_a_model_is_saved_and_loaded_by_filename(tmp_path: Path) -> None:
    model, other = Net(), Net()
    chainer.serializers.save_npz(filename=str(tmp_path / "model.npz"), obj=model)
    chainer.serializers.load_npz(filename=str(tmp_path / "model.npz"), obj=other)
    assert all((a.array == b.array).all() for a, b in zip(model.params(), other.params(), strict=True))


def test_an_array_is_a_batch_of_its_rows() -> None:
    batch: Any = np.arange(6, dtype="f").reshape(3, 2)
    assert (chainer.dataset.concat_examples(batch, -1) == batch).all()
    with pytest.raises(ValueError, match="batch is empty"):
        chainer.dataset.concat_examples(batch[:0])
