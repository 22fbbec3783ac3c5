"""Examples and their labels, checked."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.task import Task


@dataclass(frozen=True, kw_only=True)
class Table:
    """Examples `x`: (N, …), uint8, float32 or float64, and their labels `y`: (N,).

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
class Unlabelled:
    """Examples `x` without labels, as in a `Table`, to predict."""

    x: Any
    source: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The data as it was given: nothing is split off.

    `validation` and `test` are the user's own, of the same task, classes and shape as `train`, or None. `unlabelled` is
    a test file without labels. `inputs` says how the raw data became examples, and `notes` in sentences how it was
    understood.
    """

    train: Table
    inputs: Inputs
    validation: Table | None = None
    test: Table | None = None
    unlabelled: Unlabelled | None = None
    notes: tuple[str, ...] = ()

    def with_part(self, part: Part, table: Table, note: str) -> "Dataset":
        """Return the dataset with the user's own validation or test data, and a note about it."""
        notes = (*self.notes, note)
        if part is Part.VALIDATION:
            return replace(self, validation=table, notes=notes)
        return replace(self, test=table, notes=notes)

    @property
    def is_encoded(self) -> bool:
        """Return whether `x` holds a network's inputs, so that it needs no scaling."""
        return self.inputs.kind is Kind.TABLE


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the user chose: the label's column, the task, and the column whose rows belong together."""

    label: str | None = None
    task: Task | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Split:
    """Examples to train on, and `held_out` examples that are only used to evaluate the model."""

    train: Table
    held_out: Table


def check_shapes(part: Table, train: Table) -> None:
    """Check that examples of validation or test data are of the same kind as the training data.

    Raises:
        DatasetError: They have another one, or are fractions in place of bytes.
    """
    if part.x.shape[1:] != train.x.shape[1:]:
        raise DatasetError(
            f"an example of {part.source} has shape {part.x.shape[1:]} and one of {train.source} {train.x.shape[1:]}: "
            "make them alike"
        )
    if np.dtype(np.uint8) in (part.x.dtype, train.x.dtype) and part.x.dtype != train.x.dtype:
        raise DatasetError(
            f"{part.source} is {part.x.dtype} and {train.source} {train.x.dtype}: make them alike, as bytes are from "
            "0 to 255, and fractions usually from 0 to 1"
        )


def without_lone_classes(dataset: Dataset) -> Dataset:
    """Leave out classes of one example, which cannot be both learned and checked. Test data of one's own keeps them.

    Raises:
        DatasetError: No two classes remain.
    """
    train = dataset.train
    if train.task is Task.REGRESSION or dataset.test is not None or dataset.validation is not None:
        return dataset
    counts = np.bincount(train.y, minlength=len(train.classes))
    lone = [name for name, count in zip(train.classes, counts, strict=True) if count == 1]
    if not lone:
        return dataset
    kept = np.flatnonzero(counts > 1)
    if len(kept) < 2:  # noqa: PLR2004 - one class cannot be learned
        raise DatasetError(
            f"class {lone[0]} of {train.source} has one example: two at least are needed, or test data of its own"
        )
    rows = np.flatnonzero(np.isin(train.y, kept))
    table = replace(
        train.take(rows),
        y=np.searchsorted(kept, train.y[rows]).astype(np.int32),
        classes=tuple(train.classes[number] for number in kept),
    )
    note = (
        f"Left out, as one example cannot be both learned and checked: class {some(lone)}. Add examples of it, or "
        "correct its label if it is misspelt."
    )
    return replace(dataset, train=table, notes=(*dataset.notes, note))


def hold_out(table: Table, *, share: float = 0.2, seed: int = 0) -> Split:
    """Hold out a share, of each class if there are any. The same seed gives the same split.

    Raises:
        DatasetError: A class has only one example, which cannot be both trained on and held out.
    """
    rng = np.random.default_rng(seed)
    train, held = [], []
    strata = table.y if table.task is Task.CLASSIFICATION else np.zeros(len(table), np.int32)
    for label in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == label))
        if len(rows) < 2:  # noqa: PLR2004 - one to train on and one to measure with
            name = f"class {table.classes[label]} of {table.source}" if table.classes else table.source
            raise DatasetError(f"{name} has one example: two at least are needed, or test data of its own")
        count = max(1, round(len(rows) * share))
        held.append(rows[:count])
        train.append(rows[count:])
    return Split(train=table.take(np.sort(np.concatenate(train))), held_out=table.take(np.sort(np.concatenate(held))))
