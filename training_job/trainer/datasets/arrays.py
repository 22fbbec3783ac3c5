"""Arrays of examples and labels, in any layout, become tables."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets import labels
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.table import Choice, Dataset, Table, check_shapes

_CHANNELS = (1, 3, 4)
_EXACT = 1e-4  # of a column's range: rounding to float32 that no network notices


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Raw arrays of examples and labels, their names in messages, and the file that they are from."""

    x: Any
    y: Any
    names: tuple[str, str] = ("x", "y")
    source: str

    @property
    def titles(self) -> tuple[str, str]:
        """Return what the arrays are called in messages."""
        return f"{self.names[0]!r} of {self.source}", f"{self.names[1]!r} of {self.source}"

    def where(self, row: int) -> str:
        """Return the place of an example, counted from 0, for messages."""
        return f"row {row} of {self.source}"


def build(train: Pair, choice: Choice, *, validation: Pair | None = None, test: Pair | None = None) -> Dataset:
    """Return the dataset of checked arrays.

    Raises:
        DatasetError: The arrays do not match, contain anything but finite numbers, or cannot be labels.
    """
    notes: list[str] = []
    x, y = read(train, notes.append, allow_gaps=True)
    found = labels.understand(y, name=train.titles[1], where=train.where, task=choice.task)
    inputs = Inputs(kind=Kind.ARRAYS, shape=tuple(x.shape[1:]))
    if np.isnan(x).any():
        inputs = _with_columns(x)
        notes.append(
            f"Missing values (nan) of {train.titles[0]} are replaced by the median of their column, and flagged."
        )
    table = Table(x=encode(x, inputs), y=found.y, source=train.source, classes=found.classes, task=found.task)
    dataset = Dataset(train=table, inputs=inputs, notes=(found.note, *notes))
    for part, pair in ((Part.VALIDATION, validation), (Part.TEST, test)):
        if pair is not None:
            other = _part(pair, table, inputs)
            dataset = dataset.with_part(part, other, f"{pair.titles[0]} is the {part} data: {len(other)} examples.")
    return dataset


def _with_columns(x: Any) -> Inputs:  # noqa: ANN401 - an array
    """Return the description of arrays (N, values) with gaps: a table whose columns are called 0, 1, 2 and so on."""
    from training_job.trainer.datasets.tables import columns  # noqa: PLC0415 - imports pandas: only if needed

    constant = columns.Scale(fill=0.0, mean=0.0, deviation=1.0)
    scales = [columns.fit_scale(values.astype(np.float64)) or constant for values in x.T]
    found = [
        columns.Column(name=str(number), kind=columns.Kind.NUMBER, scales=(scale,))
        for number, scale in enumerate(scales)
    ]
    return Inputs(kind=Kind.TABLE, columns=tuple(found), left_out={})


def encode(x: Any, inputs: Inputs) -> Any:  # noqa: ANN401 - arrays
    """Return examples (N, …) as the network was trained on them: as they are, or float32 (N, inputs) if it had gaps.

    Raises:
        DatasetError: Their number of values is another one.
    """
    if inputs.kind is not Kind.TABLE or inputs.label is not None:
        return x
    if x.ndim != 2 or x.shape[1] != len(inputs.columns):  # noqa: PLR2004 - rows of values
        raise DatasetError(f"an example has shape {x.shape[1:]}: ({len(inputs.columns)},) is expected, as in training")
    parts = [column.scales[0].encode(x[:, index]) for index, column in enumerate(inputs.columns)]
    return np.concatenate(parts, axis=1)


def _part(pair: Pair, train: Table, inputs: Inputs) -> Table:
    x, y = read(pair, allow_gaps=inputs.kind is Kind.TABLE)
    x = encode(x, inputs)
    y = labels.apply(y, train.classes, name=pair.titles[1], where=pair.where, known_in=train.source)
    table = replace(train, x=x, y=y, source=pair.source)
    check_shapes(table, train)
    return table


def read(pair: Pair, note: Callable[[str], None] = lambda _: None, *, allow_gaps: bool = False) -> tuple[Any, Any]:
    """Return the checked examples (N, …) and their labels (N,), as they are. `note` takes what had to be turned.

    With `allow_gaps`, rows of values may have nan.

    Raises:
        DatasetError: The arrays do not match, contain anything but finite numbers, or cannot be labels.
    """
    title, label_title = pair.titles
    y = _one_of_each(np.asarray(pair.y), label_title, note)
    x = _numbers(_examples_first(np.asarray(pair.x), len(y), title, note), title, allow_gaps=allow_gaps)
    if len(x) != len(y):
        raise DatasetError(
            f"{title} has {len(x)} examples and {label_title} has {len(y)}: save one label for each example"
        )
    return _channels_first(x), y


def _one_of_each(y: Any, title: str, note: Callable[[str], None]) -> Any:  # noqa: ANN401 - arrays
    """Return labels (N,), also of a column and of one-hot rows."""
    if y.dtype.kind == "O" or y.dtype.kind not in "biufUS":
        raise DatasetError(f"{title} holds {y.dtype}: save numbers, or texts that name the classes")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.ndim > 1 and y.size == max(y.shape):
        y = y.reshape(-1)
    is_hot = y.ndim == 2 and y.dtype.kind in "biuf" and y.size  # noqa: PLR2004 - rows of 0 and one 1
    if is_hot and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        note(f"{title} is one-hot: its {y.shape[1]} columns are the classes 0 to {y.shape[1] - 1}.")
        y = y.argmax(axis=1)
    if y.ndim != 1 or not len(y):
        raise DatasetError(
            f"{title} has shape {y.shape}: one label for each example is expected, or a row for each example with a 1 "
            "in the column of its class and 0 elsewhere"
        )
    return y


def _examples_first(x: Any, count: int, title: str, note: Callable[[str], None]) -> Any:  # noqa: ANN401 - arrays
    if x.ndim == 0 or 0 in x.shape:
        raise DatasetError(f"{title} has shape {x.shape}: there is no example in it; save (examples, values)")
    if x.ndim > 1 and len(x) != count and x.shape[-1] == count:
        note(f"{title} has the examples last: it is turned.")
        x = np.moveaxis(x, -1, 0)
    if x.ndim == 1:
        return x[:, None]
    if x.ndim > 4:  # noqa: PLR2004 - (N, channels, height, width)
        note(f"{title} has {x.ndim} dimensions: each example is flattened to a row of values.")
        return x.reshape(len(x), -1)
    return x


def _numbers(x: Any, title: str, *, allow_gaps: bool) -> Any:  # noqa: ANN401 - arrays
    if x.dtype.kind not in "buif":
        raise DatasetError(f"{title} holds {x.dtype}: save numbers; a table with texts is read from a CSV file")
    if x.dtype == np.uint8:
        return x
    are_rows = x.ndim == 2  # noqa: PLR2004 - (N, values), and no pictures
    is_short = x.dtype.itemsize <= 4 and x.dtype.kind == "f"  # noqa: PLR2004 - up to 32 bits
    wide = x if is_short else x.astype(np.float64)
    are_gaps = np.isnan(wide) if allow_gaps and are_rows else np.False_
    bad = np.argwhere(~((np.abs(wide) <= np.finfo(np.float32).max) | are_gaps))
    if len(bad):
        row, *rest = (int(index) for index in bad[0])
        raise DatasetError(
            f"{title} holds {x[tuple(bad[0])]} in row {row} at {tuple(rest)}: finite numbers are expected; replace it, "
            "or leave the example out"
        )
    narrow = x.astype(np.float32)
    if is_short or not are_rows:
        return narrow
    lowest, highest = (bound.reduce(wide, axis=0) for bound in (np.fmin, np.fmax))  # without nan, if there is a number
    lost = np.fmax.reduce(np.abs(wide - narrow), axis=0)
    return wide if (lost > _EXACT * (highest - lowest)).any() else narrow


def _channels_first(x: Any) -> Any:  # noqa: ANN401 - as above
    if x.ndim == 4 and x.shape[3] in _CHANNELS and x.shape[1] not in _CHANNELS:  # noqa: PLR2004 - pictures with channels
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x
