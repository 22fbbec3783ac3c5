"""What a table's receipt says about its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.tables.columns import Column, Kind
from training_job.trainer.datasets.tables.raw_table import RawTable

_LISTED = 10  # a receipt's notes are for people
_NO_COINCIDENCE = 20


def about_columns(used: Sequence[Column], left_out: Mapping[str, str]) -> list[str]:
    """Return sentences about the columns that the network gets, and those that it does not."""
    notes = [f"Column {name!r} is left out: it {reason}." for name, reason in list(left_out.items())[:_LISTED]]
    if len(left_out) > _LISTED:
        notes.append(f"{len(left_out) - _LISTED} more columns are left out; input.json lists them.")
    kept = {kind: [column for column in used if column.kind is kind] for kind in Kind}
    counted = [
        f"{len(found)} of {kind.plural} ({some([column.name for column in found], 3)})"
        for kind, found in kept.items()
        if found
    ]
    columns = "1 column" if len(used) == 1 else f"{len(used)} columns"
    notes.append(f"The network gets {columns}: {', '.join(counted)}.")
    notes += [
        f"Column {column.name!r} holds dates, read as {column.format}."
        for column in kept[Kind.DATE]
        if column.format not in (None, "ISO8601")
    ]
    gaps = [column.name for column in used if any(scale.flag for scale in column.scales)]
    if gaps:
        notes.append(f"Missing values of {some(gaps)} are replaced by the median, and flagged.")
    return notes


def warnings(raw: RawTable, label: str, used: Sequence[Column], y: Any, *, are_classes: bool) -> list[str]:  # noqa: ANN401 - an array
    """Return a warning for each column that tells the label alone."""
    found = []
    cells = raw.frame[label]
    advice = "remove it, unless it is known whenever the model is used"
    for column in used:
        other = raw.frame[column.name]
        if other.dtype == cells.dtype and other.equals(cells):
            found.append(f"Warning: column {column.name!r} is a copy of the label {label!r}: {advice}.")
        elif are_classes and column.kind is not Kind.DATE and _renames(other, y):
            found.append(f"Warning: column {column.name!r} has one value for each class of {label!r}: {advice}.")
    return found


def _renames(cells: Any, y: Any) -> bool:  # noqa: ANN401 - pandas has no types
    """Return whether each class has one value of a column, and another one than the other classes."""
    codes = pd.factorize(cells)[0]
    distinct = len(np.unique(codes))
    if len(y) < _NO_COINCIDENCE or distinct != len(np.unique(y)):
        return False
    return len(np.unique(np.stack([codes, y]), axis=1).T) == distinct
