"""Reads a table: columns are taken by their names, in any order.

A column that is missing is refused; one more is left out, with a note. An empty cell and a category that training did
not have are refused too, unless the network itself handles them. Of a network whose columns have no names, the values
are taken by position, and a last column more is the label, as in training.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from kedja_cli.errors import CommandError
from kedja_cli.scoring.package import Column, Network

_MATRIX = 2


@frozen
class Table:
    """The arrays of each input, the labels, if there are any, and notes on what was left out."""

    arrays: Mapping[str, Any]
    labels: Sequence[str] | None
    notes: Sequence[str]


def read(path: Path, network: Network) -> Table:
    """Return the columns of a CSV file with a header, gzipped or not.

    Raises:
        CommandError: The file is damaged, or its columns or cells are not what the network takes.
    """
    header, lines = _cells(path)
    if not network.columns:
        return _by_position(path, network, header, lines)
    missing = [column.name for column in network.columns if column.name not in header]
    if missing:
        raise CommandError(f"{path.name} lacks {_some('column', missing)}.", f"It has: {', '.join(header)}.")
    used = {column.name for column in network.columns}
    extra = [name for name in header if name not in used and name != network.label]
    place = {name: index for index, name in enumerate(header)}
    values = {
        column.name: [_value(path, line, column, row[place[column.name]]) for line, row in lines]
        for column in network.columns
    }
    labels = [row[place[network.label]].strip() for _, row in lines] if network.label in place else None
    notes = [f"Not used: {_some('column', extra)}."] if extra else []
    return Table({one.name: _array(network, one.name, values) for one in network.inputs}, labels, notes)


def _by_position(path: Path, network: Network, header: Sequence[str], lines: Sequence[tuple[int, list[str]]]) -> Table:
    one = network.inputs[0]
    if len(network.inputs) != 1 or len(one.shape) != _MATRIX or not isinstance(one.shape[1], int):
        raise CommandError(f"{path.name} is a table, and network {network.name} takes {one.text}, which is none.")
    width = one.shape[1]
    if len(header) not in (width, width + 1):
        raise CommandError(
            f"{path.name} has {len(header)} columns, and the network takes {width}, with or without a label after them."
        )
    columns = [_named(name, one.name) for name in header[:width]]
    numbers = [
        [_value(path, line, column, cell) for column, cell in zip(columns, row, strict=False)] for line, row in lines
    ]
    labels = [row[-1].strip() for _, row in lines] if len(header) > width else None
    return Table({one.name: np.array(numbers, np.float64)}, labels, ())


def _named(name: str, target: str) -> Column:
    return Column(name=name, input=target, is_text=False, accepts_missing=False, accepts_unseen=False, categories=None)


def _array(network: Network, target: str, values: Mapping[str, Sequence[float | str]]) -> Any:  # noqa: ANN401 - an array
    """Return the columns of one input: as they are, or side by side if it takes several."""
    one = next(found for found in network.inputs if found.name == target)
    columns = [column for column in network.columns if column.input == target]
    kind = object if columns and columns[0].is_text else np.float64
    arrays = [np.array(values[column.name], kind) for column in columns]
    array = arrays[0] if len(one.shape) == 1 else np.stack(arrays, axis=1)
    return array.astype(one.dtype) if kind is not object and not one.dtype.startswith("float") else array


def _value(path: Path, line: int, column: Column, cell: str) -> float | str:
    text = cell.strip()
    if not text:
        if column.accepts_missing:
            return "" if column.is_text else math.nan
        raise CommandError(f"Line {line} of {path.name} has an empty cell in column {column.name!r}.")
    if column.is_text:
        if column.categories is not None and text not in column.categories and not column.accepts_unseen:
            raise CommandError(
                f"Line {line} of {path.name} has {text[:40]!r} in column {column.name!r}, which training did not have.",
                f"Known are: {_some('', sorted(column.categories))}.",
            )
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CommandError(
            f"Line {line} of {path.name} has {text[:40]!r} in column {column.name!r}: a number is expected."
        )
    return number


def _cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and each row with its line."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.name.lower().endswith(".gz") else content).decode("utf-8-sig")
        found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path.name} cannot be read as CSV in UTF-8: {error}.") from error
    header = [name.strip() for name in found[0]] if found else []
    lines = [(number, row) for number, row in enumerate(found[1:], start=2) if row]
    if not lines:
        raise CommandError(f"{path.name} has no rows: a header and one row or more are expected.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise CommandError(f"{path.name} has the column {twice[0]!r} twice.")
    for line, row in lines:
        if len(row) != len(header):
            raise CommandError(f"Line {line} of {path.name} has {len(row)} cells, and the header has {len(header)}.")
    return header, lines


def _some(noun: str, names: Sequence[str], limit: int = 8) -> str:
    words = f"{noun} {', '.join(names[:limit])}".strip()
    return words if len(names) <= limit else f"{words} and {len(names) - limit} more"
