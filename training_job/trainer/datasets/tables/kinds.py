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
    """A cell that is no number in a column of numbers: its row, counted from 0, its text, and how many others are."""

    name: str
    row: int
    text: str
    share: float


def understand(name: str, cells: Any) -> Column | LeftOut | OddCell:  # noqa: ANN401 - pandas has no types
    """Return what becomes of a column of the training data."""
    known = cells.dropna()
    if known.empty:
        return LeftOut(name=name, reason="is empty")
    if len(known) == len(cells) and (known == known.iloc[0]).all():
        return LeftOut(name=name, reason=f"has the same value in each row ({_short(known.iloc[0])})")
    if cells.dtype.kind == "b":
        return _scaled(name, Kind.BOOLEAN, cells.astype("float64").to_numpy(), words={"true": 1.0, "false": 0.0})
    if cells.dtype.kind in "iuf":
        return _number(name, cells)
    if cells.dtype.kind == "M":
        return _date(name, cells, "ISO8601")
    return _texts(name, cells, known)


def _number(name: str, cells: Any) -> Column | LeftOut:  # noqa: ANN401 - as above
    values = cells.to_numpy(np.float64, na_value=np.nan)
    if _is_identifier(name, values):
        return LeftOut(name=name, reason="numbers the rows")
    return _scaled(name, Kind.NUMBER, values)


def _is_identifier(name: str, values: Any) -> bool:  # noqa: ANN401 - an array
    """Return whether the numbers only say which row it is, and not what is in it."""
    if np.isnan(values).any() or (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return False
    is_run = len(values) >= _FEW and values[0] in (0, 1) and (np.diff(values) == 1).all()
    return bool(is_run or (_ID.match(name.strip()) and len(values) > 2))  # noqa: PLR2004 - no coincidence


def _scaled(name: str, kind: Kind, values: Any, **fields: Any) -> Column | LeftOut:  # noqa: ANN401 - an array
    scale = fit_scale(values)
    if scale is None:
        return LeftOut(name=name, reason="has the same value in each row")
    return Column(name=name, kind=kind, scales=(scale,), **fields)


def _texts(name: str, cells: Any, known: Any) -> Column | LeftOut | OddCell:  # noqa: ANN401 - as above
    texts = known.astype(str).str.strip()
    words = dict.fromkeys(_TRUE, 1.0) | dict.fromkeys(_FALSE, 0.0)
    if texts.str.lower().isin(words).all():
        used = {word: words[word] for word in sorted(texts.str.lower().unique())}
        return _scaled(name, Kind.BOOLEAN, booleans(cells, used), words=used)
    numeric = numbers.from_texts(cells)
    odd = numbers.odd(cells, numeric)
    counted = numeric.notna().sum()
    if counted and counted >= _MOSTLY * (counted + len(odd)):
        if len(odd):
            row = int(np.flatnonzero(cells.index == odd.index[0])[0])
            return OddCell(name=name, row=row, text=_short(odd.iloc[0]), share=counted / (counted + len(odd)))
        return _number(name, numeric)
    style = _date_format(texts)
    return _category(name, cells, texts) if style is None else _date(name, cells, style)


def _date_format(texts: Any) -> str | None:  # noqa: ANN401 - as above
    """Return the first format that all texts have, or None. Of 1/2/2020, the month is taken to come first."""
    sample = texts.drop_duplicates()
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


def _category(name: str, cells: Any, texts: Any) -> Column | LeftOut:  # noqa: ANN401 - as above
    distinct = texts.nunique()
    if len(texts) >= _FEW and texts.str.count(r"\S+").mean() > _WORDS and distinct > _MAX_CATEGORIES // 10:
        return LeftOut(name=name, reason=f"holds texts of many words, such as {_short(texts.iloc[0])}")
    if distinct >= _DISTINCT * len(texts) and len(texts) > 2:  # noqa: PLR2004 - no coincidence
        reason = f"has a different text in nearly every row, such as {_short(texts.iloc[0])}"
        return LeftOut(name=name, reason=reason)
    counts = pd.Series(as_texts(cells)).value_counts()
    least = _MIN_EXAMPLES if len(texts) >= _FEW else 1
    kept = counts[counts >= least].head(_MAX_CATEGORIES)
    if kept.empty:
        return LeftOut(
            name=name, reason=f"has {distinct} texts, each in one or two rows, such as {_short(texts.iloc[0])}"
        )
    return Column(name=name, kind=Kind.CATEGORY, categories=tuple(sorted(kept.index)))


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else text[:37] + "…")  # noqa: PLR2004 - a message's line
