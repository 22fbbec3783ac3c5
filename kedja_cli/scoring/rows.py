"""Reads a table: columns are taken by their names, in any order.

A column that is missing is refused; one more is left out, with a note. An empty cell and a category that training did
not have are refused too, unless the network itself handles them.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from kedja_cli.errors import CommandError
from kedja_cli.scoring.encoding import EncodedColumn, InvalidCell
from kedja_cli.scoring.package import Column, Network


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
    if not network.column_names:
        raise CommandError(
            f"{path.name} is a table, and how columns become {network.inputs[0].text} is not known.",
            "Give the arrays that the script made of them as a .npy or .npz file.",
        )
    header, lines = _cells(path)
    missing = [name for name in network.column_names if name not in header]
    if missing:
        raise CommandError(f"{path.name} lacks {_some('column', missing)}.", f"It has: {', '.join(header)}.")
    extra = [name for name in header if name not in network.column_names and name != network.label]
    notes = [f"Not used: {_some('column', extra)}."] if extra else []
    rows = _Rows(path, {name: index for index, name in enumerate(header)}, lines)
    labels = [cell.strip() for _, cell in rows.cells(network.label)] if network.label in header else None
    if network.encoded:
        matrix, unseen = _encoded(rows, network.encoded)
        return Table({network.inputs[0].name: matrix}, labels, [*notes, *unseen])
    values = {
        column.name: [_value(path, line, column, cell) for line, cell in rows.cells(column.name)]
        for column in network.columns
    }
    return Table({one.name: _array(network, one.name, values) for one in network.inputs}, labels, notes)


@frozen
class _Rows:
    """The rows of a file, each with its line, and the place of each column."""

    path: Path
    place: Mapping[str, int]
    lines: Sequence[tuple[int, list[str]]]

    def cells(self, name: str | None) -> Iterator[tuple[int, str]]:
        index = self.place[str(name)]
        return ((line, row[index]) for line, row in self.lines)


def _encoded(rows: _Rows, columns: Sequence[EncodedColumn]) -> tuple[Any, list[str]]:
    """Return float32 (N, width) of the columns side by side, and notes about unknown categories."""
    parts, notes = [], []
    for column in columns:
        values = []
        unseen: list[int] = []
        for line, cell in rows.cells(column.name):
            try:
                values.append(column.encode(cell))
            except InvalidCell as error:
                where = f"Line {line} of {rows.path.name} has {cell.strip()[:40]!r} in column {column.name!r}"
                raise CommandError(f"{where}: {error}.") from error
            if column.is_unseen(cell):
                unseen.append(line)
        if unseen:
            lines = _some("line" if len(unseen) == 1 else "lines", [str(line) for line in unseen])
            notes.append(f"Column {column.name} has an unknown category in {lines}.")
        parts.append(np.array(values, np.float64))
    return np.concatenate(parts, axis=1).astype(np.float32), notes


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
