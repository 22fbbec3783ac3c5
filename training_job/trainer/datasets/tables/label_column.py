"""The column of the labels, and the rows that have one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets import labels
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.table import Choice
from training_job.trainer.datasets.tables import numbers
from training_job.trainer.datasets.tables.raw_table import RawTable

_MOSTLY = 0.9
_MANY = 20  # different numbers that are no numbers of classes
_NAMES = ("label", "target", "class", "y")


def choose(raw: RawTable, names: Sequence[str], choice: Choice, test: RawTable | None = None) -> tuple[str, str]:
    """Return the name of the label's column among `names`, and a phrase that says why it is that one.

    The only column that the `test` data lacks is the label.

    Raises:
        DatasetError: The column that the user named is not there.
    """
    if choice.label is not None:
        if choice.label not in names:
            raise DatasetError(f"--label {choice.label}: {raw.name} has no such column; it has {some(list(names), 20)}")
        return choice.label, "by --label"
    lacking = [] if test is None else [name for name in names if name not in test.frame.columns]
    if test is not None and len(lacking) == 1:
        return lacking[0], f"the only one that {test.name} lacks; --label names another one"
    lower = {name.lower(): name for name in reversed(names)}
    for name in _NAMES:
        if name in lower:
            return lower[name], "by its name; --label names another one"
    return names[-1], "the last column; --label names another one"


def has_labels(raw: RawTable, label: str) -> bool:
    """Return whether a table has the label's column, with anything in it."""
    return label in raw.frame.columns and bool(raw.frame[label].notna().any())


def select_labelled(raw: RawTable, label: str) -> tuple[RawTable, Any]:
    """Return the rows that have a label, and which they are, bool (N,).

    Raises:
        DatasetError: None has.
    """
    cells = _as_numbers(raw, label)
    is_there: Any = cells.notna().to_numpy()
    if is_there.all() and cells is raw.frame[label]:
        return raw, is_there
    if not is_there.any():
        raise DatasetError(
            f"column {label!r} of {raw.name} is empty: fill in the labels, or name another one with --label"
        )
    values = cells[is_there].infer_objects()
    if values.dtype.kind == "f" and (values == np.floor(values)).all() and np.abs(values).max() < 1 << 53:
        values = values.astype("int64")  # a gap makes pandas read whole numbers as 1.0
    return _Selected(frame=raw.frame[is_there].assign(**{label: values}), files=raw.files), is_there


def _as_numbers(raw: RawTable, label: str) -> Any:  # noqa: ANN401 - pandas has no types
    """Return the labels, as numbers if texts such as `$1,200` are."""
    cells = raw.frame[label]
    known = cells.dropna()
    if cells.dtype.kind != "O" or known.empty or known.map(type).eq(bool).any():
        return cells
    numeric = numbers.from_texts(cells)
    odd = numbers.odd(cells, numeric)
    if odd.empty:
        return numeric
    count = int(numeric.notna().sum()) + len(odd)
    if count - len(odd) > _MOSTLY * count and numeric.nunique() > _MANY:
        row = raw.frame.index.get_loc(odd.index[0])
        raise DatasetError(
            f"{raw.where(row)} has the label {str(odd.iloc[0])[:40]!r} in column {label!r}, where all but {len(odd)} "
            f"of the {count} labels are numbers: correct it, or leave the cell empty"
        )
    return cells


class _Selected(RawTable):
    """Some rows of the files; the index of the frame says which."""

    def where(self, row: int) -> str:
        """Return the file of a row of the frame, counted from 0, and its line there."""
        return super().where(int(self.frame.index[row]))


def read_labels(raw: RawTable, label: str, classes: tuple[str, ...], known_in: str) -> Any:  # noqa: ANN401 - an array
    """Return the labels of validation or test data, (N,), as the training data's.

    Raises:
        DatasetError: A label is not one of `classes`, or is no finite number.
    """
    values = raw.frame[label].to_numpy()
    return labels.apply(values, classes, name=f"column {label!r}", where=raw.where, known_in=known_in)
