"""Columns of a table and what becomes of them: parsed to numbers or texts, then encoded as a network's inputs.

Parsing is described by a column's kind and its fields. What follows is arithmetic that ai.onnx and ai.onnx.ml express:
imputing, standardising and one-hot encoding. Both are stored as JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from training_job.trainer.datasets.tables import numbers


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    CATEGORY = "category"

    @property
    def plural(self) -> str:
        """Return the word for several."""
        return "categories" if self is Kind.CATEGORY else f"{self.value}s"


LIMIT = 1e6
"""The largest input of a number, in deviations from the mean: keeps a wild value finite in float32."""
_PARTS = ("days", "month", "weekday", "hour")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How numbers, float64, become inputs: `(x - mean) / deviation`, a missing one being `fill`, at most `LIMIT`.

    With `flag`, a second input is 1 where the number is missing, else 0. `part` says which number of a date it is.
    """

    part: str | None = None
    fill: float
    mean: float
    deviation: float
    flag: bool = False

    @property
    def width(self) -> int:
        """Return the number of inputs."""
        return 1 + self.flag

    def encode(self, values: Any) -> Any:  # noqa: ANN401 - arrays
        """Return the inputs, float32 (N, width), of numbers (N,), float64, with NaN where one is missing."""
        is_missing = np.isnan(values)
        filled = np.where(is_missing, self.fill, values)
        with np.errstate(over="ignore"):
            scaled = np.clip((filled - self.mean) / self.deviation, -LIMIT, LIMIT).astype(np.float32)
        return np.stack([scaled, is_missing.astype(np.float32)] if self.flag else [scaled], axis=1)


def fit_scale(values: Any, *, part: str | None = None) -> Scale | None:  # noqa: ANN401 - an array
    """Return the scale of numbers (N,), float64, with NaN where one is missing, or None if they say nothing."""
    known = values[~np.isnan(values)]
    has_gaps = len(known) < len(values)
    if not len(known) or (not has_gaps and known.min() == known.max()):
        return None
    unit = np.ldexp(
        1.0, np.frexp(np.abs(known).max())[1] - 1
    )  # squares of large numbers would overflow; a power of 2 is exact
    median = np.median(known / unit)
    distances = np.where(np.isnan(values), 0.0, values / unit - median)
    deviation = float(distances.std() * unit)
    return Scale(
        part=part,
        fill=float(median * unit),
        mean=float((median + distances.mean()) * unit),
        deviation=deviation if deviation > 0 and np.isfinite(deviation) else 1.0,
        flag=has_gaps,
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column that the network gets.

    A number, boolean or date has one or more `scales`. `words` are the texts of a boolean with their numbers; `format`
    is the format of a date (`%Y-%m-%d`, or `ISO8601`). A category has `categories`: those that have an input of their
    own; all inputs are 0 for any other (the unknown). The empty text stands for a missing one.
    """

    name: str
    kind: Kind
    scales: tuple[Scale, ...] = ()
    categories: tuple[str, ...] = ()
    words: Mapping[str, float] | None = None
    format: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the name of each input that the column becomes."""
        if self.kind is Kind.CATEGORY:
            return tuple(f"{self.name}={category}" for category in self.categories)
        names = []
        for scale in self.scales:
            name = self.name if scale.part is None else f"{self.name}.{scale.part}"
            names += [name, f"{name} is missing"][: scale.width]
        return tuple(names)

    def parse(self, cells: Any) -> Any:  # noqa: ANN401 - pandas has no types
        """Return float64 (N, scales), with NaN for what is missing; of a category, texts (N,)."""
        if self.kind is Kind.CATEGORY:
            return as_texts(cells)
        if self.kind is Kind.DATE:
            parts = date_parts(as_dates(cells, self.format or "ISO8601"))
            return np.stack([parts[scale.part or "days"] for scale in self.scales], axis=1)
        if self.kind is Kind.BOOLEAN:
            return booleans(cells, self.words or {})[:, None]
        return numbers.from_texts(cells).to_numpy()[:, None]

    def encode(self, cells: Any) -> Any:  # noqa: ANN401 - as above
        """Return the inputs, float32 (N, len(inputs)), of cells as they were read."""
        parsed = self.parse(cells)
        if self.kind is Kind.CATEGORY:
            return (parsed[:, None] == np.array(self.categories, dtype=object)).astype(np.float32)
        return np.concatenate([scale.encode(parsed[:, index]) for index, scale in enumerate(self.scales)], axis=1)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that `from_json` reads."""
        document: dict[str, Any] = {"name": self.name, "kind": str(self.kind)}
        if self.kind is Kind.CATEGORY:
            return document | {"categories": list(self.categories)}
        optional = {"words": self.words and dict(self.words), "format": self.format}
        document |= {key: value for key, value in optional.items() if value is not None}
        return document | {"scales": [asdict(scale) for scale in self.scales]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Column":
        """Read a document of `to_json`.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has the wrong type, or is unknown.
            ValueError: The kind is unknown.
        """
        return cls(
            name=str(document["name"]),
            kind=Kind(document["kind"]),
            scales=tuple(Scale(**scale) for scale in document.get("scales", ())),
            categories=tuple(str(category) for category in document.get("categories", ())),
            words=document.get("words"),
            format=document.get("format"),
        )


def as_texts(cells: Any) -> Any:  # noqa: ANN401 - as above
    """Return cells as stripped texts, an object array; the missing ones are empty."""
    codes, distinct = pd.factorize(cells)
    texts = np.array([*(_text(cell) for cell in distinct), ""], dtype=object)
    return texts[codes]  # the code of what is missing is -1


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a gap makes pandas read whole numbers as 1.0
    return str(cell).strip()


def booleans(cells: Any, words: Mapping[str, float]) -> Any:  # noqa: ANN401 - as above
    """Return float64 (N,): 1 for true, 0 for false, NaN for anything else."""
    return np.array([words.get(text.lower(), np.nan) for text in as_texts(cells)], np.float64)


def as_dates(cells: Any, style: str) -> Any:  # noqa: ANN401 - as above
    """Return cells as dates of a format of strptime, in UTC without a zone; NaT is what is missing or no date."""
    if cells.dtype.kind == "M":
        dates = cells
    else:
        dates = pd.to_datetime(cells.astype(object), format=style, errors="coerce", utc=True)
    return dates.dt.tz_convert(None) if getattr(dates.dt, "tz", None) is not None else dates


def date_parts(dates: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return float64 (N,) for each part: days since 1970, with their fraction; month, weekday from Monday, hour."""
    days = (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)
    values = (days, dates.dt.month, dates.dt.weekday, dates.dt.hour)
    return {part: value.to_numpy(np.float64, na_value=np.nan) for part, value in zip(_PARTS, values, strict=True)}
