"""Numbers in texts: which style they are written in, and whether a first row holds names or values."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?$")
_COMMA = re.compile(r"[+-]?(\d{1,3}([. ]\d{3})+|\d+),\d+([eE][+-]?\d+)?%?$")
_COMMA_OR_WHOLE = r"[+-]?(?:\d{1,3}(?:[. ]\d{3})+|\d+)(?:,\d+)?(?:[eE][+-]?\d+)?"
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
_GROUPED_OR_POINT = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_UNITS = " \t$€£¥%"  # before or after a number
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?", ".", "--", "missing", "unknown", "#n/a", "<na>")


def is_number(text: str) -> bool:
    """Return whether a text is a number in any style."""
    text = text.strip(_UNITS)
    return bool(_POINT.match(text) or _COMMA.match(text) or _GROUPED.match(text))


def is_missing(text: str) -> bool:
    """Return whether a text in a column of numbers says that there is no number."""
    return text.strip().lower() in _MISSING


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row holds names, and not an example.

    It is an example if its cells are numbers where the column's are, and otherwise texts that the column repeats.
    """
    first, *rest = rows
    if not rest or not any(is_number(cell) for cell in first):
        return True
    for index, cell in enumerate(first):
        column = [row[index] for row in rest if index < len(row) and not is_missing(row[index])]
        if column and all(is_number(value) for value in column):
            if not is_number(cell) and not is_missing(cell):
                return True
        elif is_number(cell) or (cell not in column and not is_missing(cell)):
            return True
    return False


def has_comma_decimals(rows: Sequence[Sequence[str]], *, delimiter: str) -> bool:
    """Return whether a column is of numbers with decimal commas.

    `1,234` alone is ambiguous: it has a decimal comma where commas do not separate the columns.
    """
    for column in zip(*rows, strict=False):
        cells = [cell.strip(_UNITS) for cell in column if not is_missing(cell)]
        if not any("," in cell for cell in cells) or not all(re.fullmatch(_COMMA_OR_WHOLE, cell) for cell in cells):
            continue
        if delimiter != "," or not all(_GROUPED.match(cell) for cell in cells if "," in cell):
            return True
    return False


def from_comma_decimals(column: Any) -> Any:  # noqa: ANN401 - pandas has no types
    """Return a column of texts as numbers, float64, or None if it does not hold numbers with decimal commas."""
    texts = column.dropna().str.strip()
    texts = texts[~texts.str.lower().isin(_MISSING)].str.strip(_UNITS)
    if texts.empty:
        return None
    if texts.str.fullmatch(_COMMA_OR_WHOLE).all():
        plain = texts.str.replace(r"[. ]", "", regex=True).str.replace(",", ".", regex=False)
    elif texts.str.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?").all():
        plain = texts
    else:
        return None
    return pd.to_numeric(plain).astype("float64").reindex(column.index)


def from_texts(column: Any) -> Any:  # noqa: ANN401 - as above
    """Return a column of any cells as numbers, float64: NaN is what is missing, or is no number (see `odd`).

    Numbers may have commas between thousands, and a sign of a currency or of per cent, which is ignored.
    """
    if column.dtype.kind in "biuf":
        return column.astype("float64")
    codes, distinct = pd.factorize(column)
    numeric = pd.to_numeric(pd.Series(distinct), errors="coerce")
    if numeric.isna().any():
        texts = pd.Series(distinct).astype("string").str.strip(_UNITS)
        grouped = texts.str.fullmatch(_GROUPED_OR_POINT).fillna(value=False)
        numeric = numeric.where(~grouped, pd.to_numeric(texts.str.replace(",", ""), errors="coerce"))
    values: Any = np.append(numeric.to_numpy(np.float64, na_value=np.nan), np.nan)
    return pd.Series(values[codes], index=column.index)  # the code of what is missing is -1


def odd(column: Any, numeric: Any) -> Any:  # noqa: ANN401 - as above
    """Return the cells that `from_texts` could not read as numbers, without those that say that there is none."""
    cells = column[numeric.isna() & column.notna()]
    said = {cell: is_missing(str(cell)) for cell in cells.unique()}
    return cells[~cells.map(said).astype(bool)]
