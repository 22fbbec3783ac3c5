"""Makes a dataset of the files of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from training_job.errors import DatasetError
from training_job.trainer.datasets import inputs, labels
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.split_names import Part, SplitPaths
from training_job.trainer.datasets.table import Choice, Dataset, Table, Unlabelled
from training_job.trainer.datasets.tables import kinds, label_column, raw_table, remarks
from training_job.trainer.datasets.tables.columns import Column, Kind, Scale, as_texts
from training_job.trainer.datasets.tables.raw_table import RawTable

_MNIST = 784
_WHITE = 255
_RAW = Scale(fill=0.0, mean=0.0, deviation=1.0)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns that the network gets, and why it does not get the others."""

    used: tuple[Column, ...]
    left_out: Mapping[str, str]


def build(paths: SplitPaths, choice: Choice) -> Dataset:
    """Read and understand the files of a table.

    Raises:
        DatasetError: A file cannot be read, or the table cannot be trained on.
    """
    raw = raw_table.read(paths.train)
    names = [str(name) for name in raw.frame.columns]
    if len(names) < 2:  # noqa: PLR2004 - a value and a label
        raise DatasetError(
            f"{raw.name} has one column ({some(names)}): columns of values and one of labels are expected, separated "
            "by commas, semicolons or tabs"
        )
    test = raw_table.read(paths.test) if paths.test else None
    label, why = label_column.choose(raw, names, choice, test)
    if choice.group is not None and choice.group not in names:
        raise DatasetError(f"--group {choice.group}: {raw.name} has no such column; it has {some(names, 20)}")
    raw, is_labelled = label_column.select_labelled(raw, label)
    found = labels.understand(raw.frame[label].to_numpy(), name=f"column {label!r}", where=raw.where, task=choice.task)
    columns = _columns(raw, label, choice.group)
    train = Table(
        x=encode(columns.used, raw),
        y=found.y,
        source=raw.name,
        classes=found.classes,
        task=found.task,
        groups=None if choice.group is None else pd.factorize(as_texts(raw.frame[choice.group]))[0].astype(np.int64),
    )
    notes = [*raw.notes, f"Column {label!r} is the label ({why}).", found.note]
    notes += _about_files(paths, int((~is_labelled).sum()))
    if _are_raw_pixels(columns.used):
        notes.append("The 784 columns of whole numbers from 0 to 255 are taken for pictures of 28 x 28 pixels.")
    else:
        notes += remarks.about_columns(columns.used, columns.left_out)
    notes += remarks.warnings(raw, label, columns.used, found.y, are_classes=bool(found.classes))
    described = inputs.Inputs(kind=inputs.Kind.TABLE, label=label, columns=columns.used, left_out=columns.left_out)
    dataset = Dataset(train=train, inputs=described, notes=tuple(notes))
    if paths.validation:
        dataset = _with_part(dataset, Part.VALIDATION, raw_table.read(paths.validation), label)
    return dataset if test is None else _with_part(dataset, Part.TEST, test, label)


def encode(columns: tuple[Column, ...], raw: RawTable) -> Any:  # noqa: ANN401 - an array
    """Return the inputs, float32 (N, …), of a table's rows.

    Raises:
        DatasetError: A column is missing, or holds an infinite number.
    """
    missing = [column.name for column in columns if column.name not in raw.frame.columns]
    if missing:
        raise DatasetError(f"{raw.name} lacks column {some(missing)}, which the model was trained with: add it")
    if _are_raw_pixels(columns) and _are_mnist(raw.frame[[column.name for column in columns]]):
        return raw.frame[[column.name for column in columns]].to_numpy(np.uint8)
    for column in columns:
        _check_finite(raw, column.name)
    return np.concatenate([column.encode(raw.frame[column.name]) for column in columns], axis=1)


def _are_raw_pixels(columns: tuple[Column, ...]) -> bool:
    return len(columns) == _MNIST and all(column.scales == (_RAW,) for column in columns)


def _columns(raw: RawTable, label: str, group: str | None) -> _Columns:
    names = [str(name) for name in raw.frame.columns if name not in (label, group)]
    if _are_mnist(raw.frame[names]):
        return _Columns(used=tuple(Column(name=name, kind=Kind.NUMBER, scales=(_RAW,)) for name in names), left_out={})
    grouping = {} if group is None else {group: "says which rows belong together (--group)"}
    used, left_out = _understood(raw, names, keep_runs=False)
    if not used:  # a series, of which the time is all that there is
        used, left_out = _understood(raw, names, keep_runs=True)
    left_out = grouping | left_out
    if not used:
        reasons = "; ".join(f"{name!r} {reason}" for name, reason in list(left_out.items())[:5])
        raise DatasetError(f"{raw.name} has no column to learn from: {reasons}; add columns that describe the examples")
    return _Columns(used=tuple(used), left_out=left_out)


def _understood(raw: RawTable, names: Sequence[str], *, keep_runs: bool) -> tuple[list[Column], dict[str, str]]:
    used: list[Column] = []
    left_out: dict[str, str] = {}
    for name in names:
        _check_finite(raw, name)
        found = kinds.understand(name, raw.frame[name], keep_runs=keep_runs)
        if isinstance(found, kinds.OddCell):
            raise DatasetError(
                f"{raw.where(found.row)} has {found.text} in column {name!r}, where all but {found.odd} of the "
                f"{found.count} values are numbers: correct the cell, or leave it empty"
            )
        if isinstance(found, kinds.LeftOut):
            left_out[found.name] = found.reason
        else:
            used.append(found)
    return used, left_out


def _are_mnist(frame: Any) -> bool:  # noqa: ANN401 - pandas has no types
    if frame.shape[1] != _MNIST or any(kind.kind not in "iu" for kind in frame.dtypes):
        return False
    values = frame.to_numpy()
    return bool(values.min() >= 0 and values.max() <= _WHITE)


def _check_finite(raw: RawTable, name: str) -> None:
    cells = raw.frame[name]
    if cells.dtype.kind != "f":
        return
    infinite = np.flatnonzero(np.isinf(cells.to_numpy()))
    if len(infinite):
        raise DatasetError(
            f"{raw.where(int(infinite[0]))} has an infinite number in column {name!r}: correct the cell, or leave it "
            "empty"
        )


def _about_files(paths: SplitPaths, dropped: int) -> list[str]:
    notes = []
    if len(paths.train) > 1:
        notes.append(f"{len(paths.train)} files are one table.")
    if dropped:
        notes.append(f"{dropped} rows without a label are left out.")
    if paths.others:
        notes.append(f"Beside train, val and test, {some([path.name for path in paths.others])} is not used.")
    return notes


def _with_part(dataset: Dataset, part: Part, raw: RawTable, label: str) -> Dataset:
    """Return the dataset with the user's own validation or test data."""
    columns, train = dataset.inputs.columns, dataset.train
    if part is Part.TEST and not label_column.has_labels(raw, label):
        note = f"{raw.name} has no labels in a column {label!r}: what the model predicts for it is in predictions.csv."
        unlabelled = Unlabelled(x=encode(columns, raw), source=raw.name)
        return replace(dataset, unlabelled=unlabelled, notes=(*dataset.notes, note))
    if label not in raw.frame.columns:
        raise DatasetError(f"{raw.name} lacks the label, column {label!r}: add it")
    raw, is_labelled = label_column.select_labelled(raw, label)
    y = label_column.read_labels(raw, label, train.classes, train.source)
    table = replace(train, x=encode(columns, raw), y=y, source=raw.name, groups=None)
    left = "" if is_labelled.all() else f", without {int((~is_labelled).sum())} rows that have no label"
    return dataset.with_part(part, table, f"{raw.name} is the {part} data: {len(y)} examples{left}.")
