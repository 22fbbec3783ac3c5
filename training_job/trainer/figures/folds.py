"""Which examples are trained on, and which are held out: stratified, with equal examples on one side."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task

_STRATA = 10  # of a quantity: its deciles
_LARGE = 10_000  # examples from which a tenth is enough to measure with


@dataclass(frozen=True, kw_only=True)
class Part:
    """Row numbers of a table: those to train on, and those that are held out."""

    train: Any
    held_out: Any


def groups_of(table: Table) -> Any:  # noqa: ANN401 - an array
    """Return a number for each example, int64 (N,): the same for equal examples, and for those of one group."""
    numbers: dict[bytes, int] = {}
    x = np.ascontiguousarray(table.x)
    same = [numbers.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), len(numbers)) for row in x]
    equal: Any = np.array(same, np.int64)
    return equal if table.groups is None else _joined(equal, table.groups)


def _joined(first: Any, second: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the finest numbers that are equal wherever `first` or `second` is."""
    joined: Any = np.unique(second, return_inverse=True)[1].astype(np.int64)
    while True:
        before = joined
        for numbers in (first, second):
            _, index = np.unique(numbers, return_inverse=True)
            lowest: Any = np.full(index.max() + 1, len(joined), np.int64)
            np.minimum.at(lowest, index, joined)
            joined = lowest[index]
        if np.array_equal(before, joined):
            return joined


def fold_numbers(table: Table, count: int, *, seed: int, groups: Any = None) -> Any:  # noqa: ANN401 - arrays
    """Deal the examples to `count` folds: return the fold of each, int64 (N,).

    Each fold gets its share of each class, or of each tenth of a quantity. Examples of one group come to one fold.
    """
    groups = groups_of(table) if groups is None else groups
    strata = strata_of(table)
    rng = np.random.default_rng(seed)
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(index)
    # The largest groups first, as small ones can even out what they leave.
    order = rng.permutation(len(first))
    order = order[np.argsort(-sizes[order], kind="stable")]
    counts: Any = np.zeros((int(strata.max()) + 1, count))
    totals: Any = np.zeros(count)
    folds: Any = np.zeros(len(first), np.int64)
    for group in order:
        row = counts[strata[first[group]]]
        chosen = int(np.lexsort((totals, row))[0])
        folds[group] = chosen
        row[chosen] += sizes[group]
        totals[chosen] += sizes[group]
    return folds[index]


def strata_of(table: Table) -> Any:  # noqa: ANN401 - an array
    """Return the class of each example or, of a quantity, its tenth, int64 (N,)."""
    if table.task is Task.CLASSIFICATION:
        return table.y.astype(np.int64)
    edges = np.quantile(table.y, np.linspace(0, 1, _STRATA + 1)[1:-1])
    return np.digitize(table.y, edges)


def parts_of(table: Table, count: int, *, seed: int, groups: Any = None) -> list[Part]:  # noqa: ANN401 - an array
    """Return `count` parts, in which each example is held out once. There are fewer if there are fewer groups.

    Raises:
        DatasetError: All examples are of one group.
    """
    folds = fold_numbers(table, count, seed=seed, groups=groups)
    if len(np.unique(folds)) == 1:
        raise DatasetError(f"all examples of {table.source} are equal, or of one group: nothing can be held out")
    return [
        Part(train=np.flatnonzero(folds != number), held_out=np.flatnonzero(folds == number))
        for number in range(count)
        if np.any(folds == number)
    ]


def hold_out(table: Table, *, seed: int) -> Part:
    """Hold out a fifth of each class, of large data a tenth. The same seed gives the same rows.

    Raises:
        DatasetError: A class has no example left to train on, or all examples are of one group.
    """
    check_counts(table)
    count = 10 if len(table) >= _LARGE else 5
    folds = fold_numbers(table, count, seed=seed)
    return _with_all_classes(table, Part(train=np.flatnonzero(folds != 0), held_out=np.flatnonzero(folds == 0)))


def check_counts(table: Table) -> None:
    """Check that each class can be trained on and measured.

    Raises:
        DatasetError: A class has one example only.
    """
    if table.task is not Task.CLASSIFICATION:
        return
    counts = np.bincount(table.y, minlength=len(table.classes))
    alone = np.flatnonzero(counts == 1)
    if len(alone):
        raise DatasetError(
            f"class {table.classes[int(alone[0])]} of {table.source} has one example: two at least are needed, or test "
            "data of its own"
        )


def _with_all_classes(table: Table, part: Part) -> Part:
    """Return the part with at least one example of each class to train on."""
    if table.task is not Task.CLASSIFICATION:
        missing: Any = np.zeros(0, np.int64)
    else:
        missing = np.setdiff1d(table.y[part.held_out], table.y[part.train])
    if len(part.train) and not len(missing) and len(part.held_out):
        return part
    moved = [np.flatnonzero(table.y == label) for label in missing]
    train = np.sort(np.concatenate([part.train, *moved]))
    held_out = np.setdiff1d(part.held_out, train)
    if not len(train) or not len(held_out):
        raise DatasetError(
            f"nothing of {table.source} can be held out, as its examples are equal, or of one group: add examples, or "
            "test data of its own"
        )
    return Part(train=train, held_out=held_out)
