"""Decides what a column holds, and whether the network gets it."""

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_job.trainer.datasets.tables import numbers
from training_job.trainer.datasets.tables.columns import (
    Column,
    Kind,
    Scale,
    as_dates,
    as_texts,
    booleans,
    date_parts,
    fit_scale,
)  # fmt: skip

_TRUE = ("true", "yes", "y", "t", "on", "ja", "oui", "si", "sí", "да")
_FALSE = ("false", "no", "n", "f", "off", "nein", "non", "нет")
_MAX_CATEGORIES = 100
_MIN_EXAMPLES = 3  # of a category that gets an input of its own
_WORDS = 4  # a text with more on average is prose
_MOSTLY = 0.9  # a column with this share of numbers is one of numbers
_DISTINCT = 0.9  # a column of texts with this share of different ones holds identifiers
_FEW = 20  # rows from which on a run of numbers, or different texts, are no coincidence
_ID = re.compile(
    r"(unnamed: \d+|index|rownames?|row[ _]?(id|no|nr|number)?|.*[ _-]id|id|uuid|guid|key|nr|no)?$", re.IGNORECASE
)
_FORMATS = (
    "ISO8601", "%d.%m.%Y", "%d.%m.%y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y",
    "%d/%m/%y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p",
    "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
    "%a %b %d %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d",
)  # fmt: skip
_LOOKS_LIKE_A_DATE = re.compile(r"[^\d]*\d{1,4}[-./ ](\d{1,2}|[A-Za-z]{3,9})[-./ ,].*|[A-Za-z]{3,9} \d.*")


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A column that the network does not get, and why: a phrase that continues its name."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OddCell:
    """A cell that is no number in a column of numbers: its row, counted from 0, and its text.

    `odd` such cells are among the `count` that are not missing.
    """

    name: str
    row: int
    text: str
    odd: int
    count: int


def understand(name: str, cells: Any, *, keep_runs: bool = False) -> Column | LeftOut | OddCell:  # noqa: ANN401 - pandas has no types
    """Return what becomes of a column of the training data.

    Numbers that count the rows are left out, unless with `keep_runs`: then only those that are called so.
    """
    known = cells.dropna()
    if known.empty:
        return LeftOut(name=name, reason="is empty")
    if len(known) == len(cells) and (known == known.iloc[0]).all():
        return LeftOut(name=name, reason=f"has the same value in each row ({_short(known.iloc[0])})")
    if cells.dtype.kind == "b":
        return _scaled(name, Kind.BOOLEAN, cells.astype("float64").to_numpy(), words={"true": 1.0, "false": 0.0})
    if cells.dtype.kind in "iuf":
        return _number(name, cells, keep_runs=keep_runs)
    if cells.dtype.kind == "M":
        return _date(name, cells, "ISO8601")
    return _texts(name, cells, known)


def _number(name: str, cells: Any, *, keep_runs: bool = False) -> Column | LeftOut:  # noqa: ANN401 - as above
    values = cells.to_numpy(np.float64, na_value=np.nan)
    if _is_identifier(name, values, keep_runs=keep_runs):
        return LeftOut(name=name, reason="numbers the rows")
    return _scaled(name, Kind.NUMBER, values)


def _is_identifier(name: str, values: Any, *, keep_runs: bool) -> bool:  # noqa: ANN401 - an array
    """Return whether the numbers only say which row it is, and not what is in it."""
    if np.isnan(values).any() or (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return False
    is_run = not keep_runs and len(values) >= _FEW and values[0] in (0, 1) and (np.diff(values) == 1).all()
    return bool(is_run or (_ID.match(name.strip()) and len(values) > 2))  # noqa: PLR2004 - no coincidence


def _scaled(name: str, kind: Kind, values: Any, **fields: Any) -> Column | LeftOut:  # noqa: ANN401 - an array
    scale = fit_scale(values)
    if scale is None:
        return LeftOut(name=name, reason="has the same value in each row")
    return Column(name=name, kind=kind, scales=(scale,), **fields)


def _texts(name: str, cells: Any, known: Any) -> Column | LeftOut | OddCell:  # noqa: ANN401 - as above
    counts = pd.Series(as_texts(known)).value_counts(sort=False)
    lower = counts.index.str.lower()
    words = dict.fromkeys(_TRUE, 1.0) | dict.fromkeys(_FALSE, 0.0)
    if lower.isin(words).all():
        used = {word: words[word] for word in sorted(set(lower))}
        return _scaled(name, Kind.BOOLEAN, booleans(cells, used), words=used)
    numeric = numbers.from_texts(cells)
    odd = numbers.odd(cells, numeric)
    counted = int(numeric.notna().sum())
    if counted and odd.empty:
        return _number(name, numeric)
    if counted > _MOSTLY * (counted + len(odd)) and odd.value_counts().min() < _MIN_EXAMPLES:
        row = int(np.flatnonzero(cells.index == odd.index[0])[0])
        return OddCell(name=name, row=row, text=_short(odd.iloc[0]), odd=len(odd), count=counted + len(odd))
    style = _date_format(pd.Series(counts.index))
    if style is not None:
        return _date(name, cells, style)
    if counted > _MOSTLY * (counted + len(odd)) and len(counts) > _MAX_CATEGORIES:
        return _number(name, numeric)  # with words that recur, and are flagged as missing
    return _category(name, cells, counts)


def _date_format(sample: Any) -> str | None:  # noqa: ANN401 - as above
    """Return the first format that all texts have, or None. Of 1/2/2020, the month is taken to come first."""
    if not sample.head(100).str.fullmatch(_LOOKS_LIKE_A_DATE).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for style in _FORMATS:
            if as_dates(sample.head(20), style).notna().all() and as_dates(sample, style).notna().all():
                return style
    return None


def _date(name: str, cells: Any, style: str) -> Column | LeftOut:  # noqa: ANN401 - as above
    parts = date_parts(as_dates(cells, style))
    scales: list[Scale] = []
    for part, values in parts.items():
        scale = fit_scale(values, part=part)
        if scale is not None and not (part != "days" and _is_constant(values)):
            # One flag is enough: the parts of a date are missing together.
            scales.append(scale if part == "days" else Scale(**{**vars(scale), "flag": False}))
    if not scales:
        return LeftOut(name=name, reason="has the same date in each row")
    return Column(name=name, kind=Kind.DATE, scales=tuple(scales), format=style)


def _is_constant(values: Any) -> bool:  # noqa: ANN401 - an array
    return bool(np.nanmin(values) == np.nanmax(values))


def _category(name: str, cells: Any, known: Any) -> Column | LeftOut:  # noqa: ANN401 - as above
    """Return what becomes of a column of texts; `known` has how often each is there, without what is missing."""
    total, distinct, example = int(known.sum()), len(known), _short(known.index[0])
    words = (known.index.str.count(r"\S+") * known).sum() / total
    if total >= _FEW and words > _WORDS and distinct > _MAX_CATEGORIES // 10:
        return LeftOut(name=name, reason=f"holds texts of many words, such as {example}")
    if distinct >= _DISTINCT * total and total > 2:  # noqa: PLR2004 - no coincidence
        return LeftOut(name=name, reason=f"has a different text in nearly every row, such as {example}")
    counts = known if total == len(cells) else pd.concat([known, pd.Series({"": len(cells) - total})])
    least = _MIN_EXAMPLES if total >= _FEW else 1
    kept = counts[counts >= least].nlargest(_MAX_CATEGORIES)
    if kept.empty:
        return LeftOut(name=name, reason=f"has {distinct} texts, each in one or two rows, such as {example}")
    return Column(name=name, kind=Kind.CATEGORY, categories=tuple(sorted(kept.index)))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else text[:37] + "…")  # noqa: PLR2004 - a message's line
