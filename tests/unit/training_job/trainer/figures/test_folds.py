"""What is held out, and what is not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training_job.errors import DatasetError
from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import folds, leaks


def table(y: Any, x: Any = None, groups: Any = None) -> Table:  # noqa: ANN401 - arrays
    x = np.random.default_rng(0).random((len(y), 3)).astype(np.float32) if x is None else x
    names = tuple(str(number) for number in range(y.max() + 1))
    return Table(x=x, y=y.astype(np.int32), source="t.csv", classes=names, groups=groups)


def quantities(y: Any) -> Table:  # noqa: ANN401 - an array
    return replace(table(np.arange(len(y))), y=y.astype(np.float32), classes=(), task=Task.REGRESSION)


def test_each_fold_has_its_share_of_each_class() -> None:
    y = np.array([0] * 60 + [1] * 25 + [2] * 5)
    parts = folds.parts_of(table(y), 5, seed=1)
    assert [np.bincount(y[part.held_out]).tolist() for part in parts] == [[12, 5, 1]] * 5
    held_out = np.concatenate([part.held_out for part in parts])
    assert sorted(held_out) == list(range(90))
    assert all(not set(part.train) & set(part.held_out) for part in parts)


def test_each_fold_has_its_share_of_a_quantity() -> None:
    y = np.random.default_rng(1).exponential(size=500)
    means = [y[part.held_out].mean() for part in folds.parts_of(quantities(y), 5, seed=0)]
    assert max(means) - min(means) < 0.15


def test_equal_examples_are_on_one_side() -> None:
    x = np.repeat(np.random.default_rng(0).random((20, 3)).astype(np.float32), 3, axis=0)
    part = folds.hold_out(table(np.arange(60) // 3 % 2, x), seed=0)
    assert not {row.tobytes() for row in x[part.train]} & {row.tobytes() for row in x[part.held_out]}
    assert len(part.held_out) == 12


def test_a_group_is_on_one_side_and_so_is_what_equals_one_of_it() -> None:
    groups: Any = np.repeat(np.arange(10), 4)
    x = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    x[3] = x[4]  # joins the first two groups
    given = table(np.arange(40) % 2, x, groups)
    numbers = folds.groups_of(given)
    assert len(np.unique(numbers)) == 9
    assert numbers[0] == numbers[7] != numbers[8]
    for part in folds.parts_of(given, 3, seed=0):
        assert not set(numbers[part.train]) & set(numbers[part.held_out])


def test_a_class_of_one_example_and_one_group_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"class 1 of t\.csv has one example: two at least"):
        folds.hold_out(table(np.array([0, 0, 0, 1])), seed=0)
    with pytest.raises(DatasetError, match="equal, or of one group"):
        folds.hold_out(table(np.arange(8) % 2, groups=np.zeros(8, np.int64)), seed=0)


def test_a_class_with_all_its_examples_equal_is_trained_on() -> None:
    x = np.random.default_rng(0).random((12, 3)).astype(np.float32)
    x[10] = x[11]
    y = np.array([0] * 10 + [1] * 2)
    for seed in range(8):
        assert set(y[folds.hold_out(table(y, x), seed=seed).train]) == {0, 1}


COLUMNS = {"a": [0], "b": [1], "copy": [2], "c": [3]}


def test_a_copy_of_the_label_is_found() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    x = rng.random((200, 4)).astype(np.float32)
    x[:, 1] += y  # says a good deal, and not all
    assert leaks.find(table(y, x), COLUMNS, seed=0) == []
    x[:, 2] = y * 7
    assert leaks.find(table(y, x), COLUMNS, seed=0) == ["copy"]
    x[:, 1:] = np.eye(3)[y]
    assert leaks.find(table(y, x), {"kind": [1, 2, 3]}, seed=0) == ["kind"]
    price = rng.random(200) * 100
    copied = replace(quantities(price), x=np.stack([price * 3, rng.random(200)], axis=1).astype(np.float32))
    assert leaks.find(copied, {"thrice": [0], "other": [1]}, seed=0) == ["thrice"]
