"""CSV with a header. Each row is an example; its last column is the label, a class number or a class name."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.table import Table, make_table


def read(path: Path) -> Table:
    """Return the table of a file, gzipped or not.

    Raises:
        DatasetError: It has no header or no rows, a row is longer or shorter than the header, a value is no number, or
            the labels mix numbers and names.
    """
    header, _, body = _text(path).partition("\n")
    names = [name.strip() for name in next(_rows(path, [header]), [])]
    if len(names) < 2:  # noqa: PLR2004 - a value and a label
        raise DatasetError(f"{path.name} has {len(names)} column(s): values and, last, the label are expected")
    if all(_is_number(name) for name in names):
        raise DatasetError(f"{path.name} has no header: its first line holds numbers only; begin it with column names")
    if not body.strip():
        raise DatasetError(f"{path.name} has a header and no rows")
    try:
        rows = np.loadtxt(io.StringIO(body), delimiter=",", comments=None, quotechar='"', dtype=np.float64, ndmin=2)
    except ValueError:
        return _read_named(path, names, body)
    if rows.shape[1] != len(names):
        raise DatasetError(f"{path.name} has {rows.shape[1]} values in each row and {len(names)} names in its header")
    return make_table(rows[:, :-1], rows[:, -1], source=path.name, names=("values", names[-1]))


def _text(path: Path) -> str:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path.name} is no UTF-8 text: byte {error.start} cannot be read") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be unpacked: it is no gzip file, or is truncated") from error


def _rows(path: Path, lines: Iterable[str]) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines)
    except csv.Error as error:
        raise DatasetError(f"{path.name} is no CSV: {error}") from error


def _read_named(path: Path, names: list[str], body: str) -> Table:
    """Read row by row, to read labels that are names, or to name the invalid cell in an error."""
    values: list[list[float]] = []
    labels: dict[int, str] = {}
    for number, row in enumerate(_rows(path, io.StringIO(body)), start=2):
        if not row:
            continue
        if len(row) != len(names):
            raise DatasetError(f"line {number} of {path.name} has {len(row)} values; its header names {len(names)}")
        values.append([_number(path, number, name, cell) for name, cell in zip(names[:-1], row, strict=False)])
        labels[number] = row[-1].strip()
    odd = [number for number, label in labels.items() if not label or not _is_number(label)]
    if odd and len(odd) == len(labels) and all(labels.values()):
        classes = sorted(set(labels.values()))
        table = make_table(
            values, _numbered(list(labels.values()), classes), source=path.name, names=("values", names[-1])
        )
        return replace(table, classes=tuple(classes))
    if odd:
        raise DatasetError(
            f"line {odd[0]} of {path.name} has the label {labels[odd[0]][:40]!r} in column {names[-1]!r}: use class "
            "numbers in all rows, or class names in all"
        )
    numbers = [float(label) for label in labels.values()]
    return make_table(values, numbers, source=path.name, names=("values", names[-1]))


def _numbered(labels: list[str], classes: list[str]) -> Any:  # noqa: ANN401 - an array
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[label] for label in labels])


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DatasetError(
            f"line {line} of {path.name} has {cell.strip()[:40]!r} in column {column!r}: a number is expected"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
