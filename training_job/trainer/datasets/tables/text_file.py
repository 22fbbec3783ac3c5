"""Tables as text: CSV, TSV and the like, whatever their delimiter, encoding and header."""

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chardet
import clevercsv
import pandas as pd

from training_job.errors import DatasetError
from training_job.trainer.datasets.tables import numbers

_DELIMITERS = (",", ";", "\t", "|", " ")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
_SEPARATOR = re.compile("sep=(.)", re.IGNORECASE)
_LONG_WORD = re.compile(r"""([^\s,;|"']{80})[^\s,;|"']+""")
_SAMPLE_LINES = 200
_SAMPLE_BYTES = 1 << 16
_SNIFFED = 1 << 14
MISSING = ("", "NA", "N/A", "n/a", "na", "<NA>", "#N/A", "NaN", "nan", "NAN", "-nan", "null", "NULL", "?")
"""Cells that are read as missing, in any column."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file is written. `skipped` lines precede the table: comments, and the `sep=;` of spreadsheets."""

    delimiter: str
    quote: str
    encoding: str
    skipped: int = 0
    has_header: bool = True
    has_row_names: bool = False
    comma_decimals: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is not as usual, as phrases that continue the file's name."""
        found = []
        if self.encoding not in ("utf-8", "utf-8-sig"):
            found.append(f"is read as {self.encoding}")
        if self.delimiter != ",":
            found.append(f"is separated by {_NAMES.get(self.delimiter, repr(self.delimiter))}")
        if self.comma_decimals:
            found.append("has decimal commas")
        if not self.has_header:
            found.append("has no header: its columns are called 'column 1', 'column 2' and so on")
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """A file's table. Cells are numbers, booleans, texts, or missing (NaN)."""

    path: Path
    frame: Any
    layout: Layout

    def where(self, row: int) -> str:
        """Return the place of a row of the frame, counted from 0, for messages."""
        text = _without_lines(_text(self.path)[0], self.layout.skipped)
        rows = _rows(text, self.layout.delimiter, self.layout.quote)
        for number, (line, _) in enumerate(rows, start=-1 if self.layout.has_header else 0):
            if number == row:
                return f"line {line + self.layout.skipped} of {self.path.name}"
        return f"row {row + 1} of {self.path.name}"


def read(path: Path) -> TextFile:
    """Read a file, gzipped or not.

    Raises:
        DatasetError: It is no text or has no rows, or a row is longer or shorter than the others.
    """
    text, encoding = _text(path)
    if not text.strip():
        raise DatasetError(f"{path.name} is empty: write a line of column names, and a line for each example")
    skipped, delimiter = _preamble(text)
    text = _without_lines(text, skipped)
    layout = _layout(path, text, encoding, skipped, delimiter)
    frame = _frame(path, text, layout)
    if frame.empty:
        raise DatasetError(f"{path.name} has a header and no rows: add a line for each example")
    return TextFile(path=path, frame=frame, layout=layout)


def _text(path: Path) -> tuple[str, str]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be unpacked: it is no gzip file, or is truncated") from error
    try:
        return _lines(content.decode("utf-8-sig")), "utf-8"
    except UnicodeDecodeError as error:
        # A sample around the first character that is not ASCII: the rest of a file may be ASCII alone.
        start = max(0, content[: error.start].rfind(b"\n") + 1 - _SAMPLE_BYTES // 4)
        is_marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        sample = content[:_SAMPLE_BYTES] if is_marked else content[start : start + _SAMPLE_BYTES]
        encoding = chardet.detect(sample)["encoding"]
    try:
        if encoding is None or "\0" in (text := content.decode(encoding)):
            raise DatasetError(f"{path.name} is no text that can be read: save it as CSV in UTF-8")
    except (UnicodeDecodeError, LookupError) as error:
        raise DatasetError(f"{path.name} is no text in UTF-8, nor in {encoding}: save it as CSV in UTF-8") from error
    return _lines(text.removeprefix("\ufeff")), encoding


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _preamble(text: str) -> tuple[int, str | None]:
    """Return how many lines precede the table, and the delimiter that a spreadsheet's `sep=;` names."""
    skipped, delimiter = 0, None
    for line in text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES]:
        if match := _SEPARATOR.fullmatch(line.strip('"')):
            delimiter = match[1]
        elif not line.startswith("#") or line.startswith("#,"):
            break
        skipped += 1
    return skipped, delimiter


def _without_lines(text: str, count: int) -> str:
    return text.split("\n", count)[-1] if count else text


def _layout(path: Path, text: str, encoding: str, skipped: int, delimiter: str | None) -> Layout:
    sample = _sample(text)
    delimiter, quote = (delimiter, '"') if delimiter else _dialect(path, sample)
    rows = [row for _, row in _rows(sample, delimiter, quote)]
    has_header = numbers.is_header(rows)
    width = len(rows[0])
    are_longer = len(rows) > 1 and has_header and all(len(row) == width + 1 for row in rows[1:])
    has_row_names = are_longer and any(row[-1] for row in rows[1:])  # else each line ends with a delimiter
    return Layout(
        delimiter=delimiter,
        quote=quote,
        encoding=encoding,
        skipped=skipped,
        has_header=has_header,
        has_row_names=has_row_names,
        comma_decimals=numbers.has_comma_decimals(rows[1:] if has_header else rows, delimiter=delimiter),
    )


def _sample(text: str) -> str:
    end = 0
    for _ in range(_SAMPLE_LINES):
        following = text.find("\n", end) + 1
        if not following or following > _SAMPLE_BYTES > end > 0:
            break
        end = following
    return text[: end or len(text)] if text.find("\n", end) >= 0 else text


def _dialect(path: Path, sample: str) -> tuple[str, str]:
    """Return delimiter and quote character, by https://doi.org/10.1007/s10618-019-00646-y."""
    if ".tsv" in path.suffixes or ".tab" in path.suffixes:
        return "\t", '"'
    whole_lines = sample[: sample.rfind("\n", 0, _SNIFFED) + 1] or sample[:_SNIFFED]
    try:
        # Its regular expressions take time that grows with the square of a word's length.
        found = clevercsv.Sniffer().sniff(_LONG_WORD.sub(r"\1", whole_lines), delimiters=_DELIMITERS)
    except clevercsv.Error:
        found = None
    if found is None or found.delimiter not in _DELIMITERS:
        return ",", '"'
    return found.delimiter, found.quotechar or '"'


def _rows(text: str, delimiter: str, quote: str) -> Iterator[tuple[int, list[str]]]:
    """Iterate over the number of the last line and the cells of each row that is not empty."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, quotechar=quote, skipinitialspace=delimiter == " ")
    previous = 0
    try:
        for row in reader:
            if any(row):
                yield previous + 1, row
            previous = reader.line_num
    except csv.Error as error:
        raise DatasetError(f"line {previous + 1} cannot be split into cells: {error}") from error


def _frame(path: Path, text: str, layout: Layout) -> Any:  # noqa: ANN401 - pandas has no types
    options: dict[str, Any] = {
        "sep": layout.delimiter,
        "quotechar": layout.quote,
        "header": 0 if layout.has_header else None,
        "index_col": 0 if layout.has_row_names else False,
        "skipinitialspace": True,
        "keep_default_na": False,
        "na_values": list(MISSING),
        "low_memory": False,
    }
    width = _check_widths(path, text, layout)
    if not layout.has_header:
        options["names"] = [f"column {number}" for number in range(1, width + 1)]
    if layout.comma_decimals:
        options["dtype"] = str
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of empty cells at the end, which are left out
            frame = pd.read_csv(io.StringIO(text), **options)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{path.name} cannot be read as a table: {' '.join(str(error).split())}") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if layout.comma_decimals:
        for name in frame.columns:
            converted = numbers.from_comma_decimals(frame[name])
            frame[name] = frame[name] if converted is None else converted
    return frame.reset_index(drop=True)


def _check_widths(path: Path, text: str, layout: Layout) -> int:
    """Return the number of columns; pandas would fill a short row with missing cells."""
    names: list[str] = []
    width = 0
    for line, row in _rows(text, layout.delimiter, layout.quote):
        if not names:
            names, width = row, len(row) + layout.has_row_names
            continue
        if len(row) == width or (len(row) == width + 1 and not row[-1]):
            continue
        expected = f"its header names {width}" if layout.has_header else f"its first line has {width}"
        raise DatasetError(
            f"line {line + layout.skipped} of {path.name} has {len(row)} values; {expected}: complete the line, or put "
            f"quotes around a value that contains {layout.delimiter!r}"
        )
    return width
