"""Examples and their classes, checked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.task import Task

_CHANNELS = (1, 3, 4)
_MAX_CLASSES = 1 << 16  # limits the arrays that are sized by the highest label


@dataclass(frozen=True, kw_only=True)
class Table:
    """Examples `x`: (N, …), uint8 or float32, and their labels `y`: (N,).

    In a classification, labels are int32 numbers of `classes`, from 0; in a regression they are float32 quantities, and
    `classes` is empty. Pictures are (N, height, width) or (N, channels, height, width). `source` is the name of the
    data in error messages. `groups`, (N,) int64 or None, has the same number for examples that must not be on both
    sides of a split.
    """

    x: Any
    y: Any
    source: str
    classes: tuple[str, ...]
    task: Task = Task.CLASSIFICATION
    groups: Any = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.x)

    def take(self, rows: Any) -> "Table":  # noqa: ANN401 - an array of indices
        """Return a table of these rows, a slice or an array of indices."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], groups=groups)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The data as it was given: nothing is split off.

    `validation` and `test` are the user's own, of the same task, classes and shape as `train`, or None. `notes` say in
    sentences how the data was understood.
    """

    train: Table
    validation: Table | None = None
    test: Table | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Split:
    """Examples to train on, and `held_out` examples that are only used to evaluate the model."""

    train: Table
    held_out: Table


def make_table(x: Any, y: Any, *, source: str, names: tuple[str, str] = ("x", "y")) -> Table:  # noqa: ANN401 - arrays
    """Return the checked table of raw arrays. `names` are the names of examples and labels in error messages.

    Raises:
        DatasetError: The arrays do not match, contain anything but finite numbers, or the labels are not whole numbers
            from 0.
    """
    values, labels = (f"{name!r} of {source}" for name in names)
    x = _numbers(np.asarray(x), values)
    y = _labels(np.asarray(y), labels)
    if len(x) != len(y):
        raise DatasetError(f"{values} has {len(x)} examples and {labels} has {len(y)}: they must be as many")
    return Table(x=_channels_first(x), y=y, source=source, classes=tuple(str(label) for label in range(y.max() + 1)))


def check_classes(table: Table) -> None:
    """Check the classes of training data.

    Raises:
        DatasetError: There is only one class, or a class below the highest has no example.
    """
    counts = np.bincount(table.y, minlength=len(table.classes))
    if np.count_nonzero(counts) < 2:  # noqa: PLR2004 - one class cannot be trained
        only = table.classes[int(np.argmax(counts))]
        raise DatasetError(f"{table.source} holds one class only ({only}): two at least are needed to train")
    gaps = [table.classes[index] for index in np.flatnonzero(counts == 0)]
    if gaps:
        raise DatasetError(
            f"{table.source} has no example of class {_some(gaps)}, but of {table.classes[-1]}: number the classes "
            f"0 to {len(table.classes) - len(gaps) - 1} without a gap"
        )


def check_fits(test: Table, train: Table) -> Table:
    """Return the test data, with the classes of the training data.

    Raises:
        DatasetError: Its examples have another shape, or a class that the training data does not have.
    """
    if test.x.shape[1:] != train.x.shape[1:]:
        raise DatasetError(
            f"an example of {test.source} has shape {test.x.shape[1:]} and one of {train.source} {train.x.shape[1:]}: "
            "they must be alike"
        )
    unknown = [name for name in test.classes if name not in train.classes]
    if unknown:
        raise DatasetError(f"{test.source} has class {_some(unknown)}, which {train.source} does not have")
    index = np.array([train.classes.index(name) for name in test.classes], np.int32)
    return replace(test, y=index[test.y], classes=train.classes)


def hold_out(table: Table, *, share: float = 0.2, seed: int = 0) -> Split:
    """Hold out a share of each class. The same seed gives the same split.

    Raises:
        DatasetError: A class has only one example, which cannot be both trained on and held out.
    """
    rng = np.random.default_rng(seed)
    train, held = [], []
    for label, name in enumerate(table.classes):
        rows = rng.permutation(np.flatnonzero(table.y == label))
        if len(rows) < 2:  # noqa: PLR2004 - one to train on and one to measure with
            raise DatasetError(
                f"class {name} of {table.source} has one example: two at least are needed, or test data of its own"
            )
        count = max(1, round(len(rows) * share))
        held.append(rows[:count])
        train.append(rows[count:])
    return Split(train=table.take(np.sort(np.concatenate(train))), held_out=table.take(np.sort(np.concatenate(held))))


def _numbers(x: Any, name: str) -> Any:  # noqa: ANN401 - an array of anything becomes one of numbers
    if x.dtype.kind not in "buif":
        raise DatasetError(f"{name} holds {x.dtype}: numbers are expected")
    if x.ndim < 2 or x.ndim > 4 or 0 in x.shape:  # noqa: PLR2004 - (N, features) to (N, channels, height, width)
        raise DatasetError(
            f"{name} has shape {x.shape}: (examples, values), (examples, height, width) or "
            "(examples, channels, height, width) is expected, and no side may be 0"
        )
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, *rest = (int(index) for index in bad[0])
        raise DatasetError(
            f"{name} holds {x[tuple(bad[0])]} in row {row} at {tuple(rest)}: finite numbers are expected"
        )
    return x


def _labels(y: Any, name: str) -> Any:  # noqa: ANN401 - as above
    if y.dtype.kind not in "buif":
        raise DatasetError(f"{name} holds {y.dtype}: whole numbers from 0 are expected")
    if y.ndim == 2 and y.shape[1] == 1:  # noqa: PLR2004 - a column is accepted too
        y = y[:, 0]
    if y.ndim != 1 or len(y) == 0:
        raise DatasetError(f"{name} has shape {y.shape}: one label for each example is expected")
    bad = np.flatnonzero(~((y >= 0) & (y < _MAX_CLASSES) & (y == np.floor(y))))
    if len(bad):
        raise DatasetError(
            f"{name} holds the label {y[bad[0]]} in row {int(bad[0])}: whole numbers from 0 without a gap are expected"
        )
    return y.astype(np.int32)


def _channels_first(x: Any) -> Any:  # noqa: ANN401 - as above
    if x.ndim == 4 and x.shape[3] in _CHANNELS and x.shape[1] not in _CHANNELS:  # noqa: PLR2004 - pictures with channels
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
