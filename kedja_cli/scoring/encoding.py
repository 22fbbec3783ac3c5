"""Encodes cells of a table as the built-in trainer does: imputed, standardised and one-hot.

The formulas are those of `training_job.trainer.datasets.tables.columns`. Cells are parsed more strictly: what is not
plainly a number, a word of a boolean or a text is refused.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from attrs import frozen

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MISSING = frozenset({"", "na", "n/a", "<na>", "#n/a", "nan", "-nan", "null", "?"})
"""Cells that the trainer reads as missing in any column, in lower case."""


class InvalidCell(ValueError):
    """A cell is none that the column takes. The message says what is expected."""


@frozen(kw_only=True)
class Scale:
    """`(x - mean) / deviation`, and `fill` for a missing number; with `flag`, a second value says whether it is one."""

    fill: float
    mean: float
    deviation: float
    flag: bool

    def encode(self, value: float) -> list[float]:
        """Return the values of a number, which is nan if it is missing."""
        is_missing = math.isnan(value)
        scaled = ((self.fill if is_missing else value) - self.mean) / self.deviation
        return [scaled, float(is_missing)] if self.flag else [scaled]


@frozen(kw_only=True)
class EncodedColumn:
    """A column that becomes some values of an input: of a category, one for each of `categories`."""

    name: str
    input: str
    kind: str
    scales: Sequence[Scale]
    categories: Sequence[str]
    words: Mapping[str, float]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the column from JSON.

        Raises:
            KeyError, TypeError, ValueError: It is not one, or of an unknown kind.
        """
        kind = str(document["kind"])
        if kind not in ("number", "boolean", "category", "date"):
            raise ValueError(f"a column has the kind {kind!r}")
        return cls(
            name=str(document["name"]),
            input=str(document["input"]),
            kind=kind,
            scales=tuple(
                Scale(
                    fill=float(one["fill"]),
                    mean=float(one["mean"]),
                    deviation=float(one["deviation"]),
                    flag=bool(one.get("flag")),
                )
                for one in document.get("scales") or ()
            ),
            categories=tuple(map(str, document.get("categories") or ())),
            words={str(word): float(value) for word, value in (document.get("words") or {}).items()},
        )

    def encode(self, cell: str) -> list[float]:
        """Return the values of a cell.

        Raises:
            InvalidCell: It is missing and training had no gaps here, or it is none of this kind.
        """
        text = cell.strip()
        is_missing = text.lower() in _MISSING
        if self.kind == "category":
            if is_missing and "" not in self.categories:
                raise InvalidCell("a text is expected, as training had no empty cells")
            return [float(("" if is_missing else text) == category) for category in self.categories]
        if self.kind == "date":
            raise InvalidCell("this command does not read dates yet; score it with training_job.score")
        if is_missing and not all(scale.flag for scale in self.scales):
            raise InvalidCell("a value is expected, as training had no empty cells")
        value = math.nan if is_missing else self._number(text)
        return [number for scale in self.scales for number in scale.encode(value)]

    def is_unseen(self, cell: str) -> bool:
        """Return whether a cell has a category that has no value of its own: it counts as unknown."""
        return self.kind == "category" and cell.strip() not in self.categories

    def _number(self, text: str) -> float:
        if self.kind == "boolean":
            if text.lower() not in self.words:
                raise InvalidCell(f"one of {', '.join(self.words)} is expected")
            return self.words[text.lower()]
        if not _NUMBER.fullmatch(text):
            raise InvalidCell("a number is expected")
        return float(text)
