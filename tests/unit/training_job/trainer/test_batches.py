"""The batches that a network is trained with."""

from typing import Any

import chainer
import numpy as np
import pytest

from training_job.trainer import batches
from training_job.trainer.batches import Batches, shifted
from training_job.trainer.datasets.table import Table
from training_job.trainer.preprocessing import Preprocessor

CPU = chainer.get_device("@numpy")
MEAN, SCALE = np.array([0], np.float32), np.array([0.5], np.float32)


def pictures(count: int = 20) -> Table:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (count, 6, 5)).astype(np.uint8)
    return Table(x=x, y=np.arange(count, dtype=np.int32), source="random", classes=tuple(map(str, range(count))))


def preprocessor(*network_shape: int) -> Preprocessor:
    return Preprocessor(shape=(6, 5), network_shape=network_shape, mean=MEAN, scale=SCALE)


def taken(table: Table, preprocessor: Preprocessor, *, shift: int = 0, part: slice = slice(None)) -> Any:  # noqa: ANN401 - arrays
    made = Batches(table, preprocessor, CPU, shift=shift)
    made.begin(made.draw(np.random.default_rng(0)))
    return made.take(part)


def test_a_batch_is_the_next_rows_of_the_plan() -> None:
    table = pictures()
    made = Batches(table, preprocessor(1, 6, 5), CPU, shift=0)
    plan = made.draw(np.random.default_rng(0))
    assert sorted(plan[0]) == list(range(20))
    made.begin(plan)
    x, y = made.take(slice(15, 25))
    assert np.array_equal(x, table.x[plan[0, 15:]][:, None] * np.float32(0.5))
    assert (x.dtype, y.dtype, y.tolist()) == (np.float32, np.int32, plan[0, 15:].tolist())


def test_each_picture_moves_by_its_own_plan() -> None:
    table = pictures()
    made = Batches(table, preprocessor(1, 6, 5), CPU, shift=2)
    plan = made.draw(np.random.default_rng(0))
    assert set(plan[1:].ravel()) == {-2, -1, 0, 1, 2}
    made.begin(plan)
    x, _ = made.take(slice(3, 9))
    rows, up, left = plan[:, 3:9]
    assert np.array_equal(x, shifted(table.x[rows][:, None] * np.float32(0.5), up, left))


@pytest.mark.parametrize("shift", [0, 2])
def test_large_data_gives_the_same_batches(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = taken(pictures(), preprocessor(1, 6, 5), shift=shift)
    monkeypatch.setattr(batches, "_PREPARED_BYTES", 100)
    drawn = taken(pictures(), preprocessor(1, 6, 5), shift=shift)
    assert all(np.array_equal(one, other) for one, other in zip(kept, drawn, strict=True))


def test_what_is_no_picture_is_not_shifted() -> None:
    table = pictures()
    x, y = taken(table, preprocessor(30), shift=1)
    assert np.array_equal(x, table.x[y].reshape(20, 30) * np.float32(0.5))


def test_a_shifted_picture_is_the_same_picture() -> None:
    x: Any = np.zeros((9, 2, 5, 5), np.float32)
    x[:, 1, 2, 3] = 1
    up, left = np.stack(np.divmod(np.arange(9), 3)) - 1
    moved = shifted(x, up, left)
    assert moved.shape == x.shape
    assert np.argwhere(moved)[:, 1:].tolist() == [[1, 2 - u, 3 - le] for u, le in zip(up, left, strict=True)]
    assert moved.sum() == 9


def test_a_shifted_picture_loses_what_leaves_it() -> None:
    x: Any = np.ones((1, 1, 3, 3), np.float32)
    assert shifted(x, np.array([2]), np.array([-1]))[0, 0].tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
