"""The gate: whether a job's model is good enough to be registered."""

import math
import operator
from collections.abc import Mapping
from textwrap import shorten
from typing import Self

from function_app.domain.document import Document
from function_app.jobspec.kedja_block import When

MOST_NAMED = 1000
"""Characters of the metrics' names that a reason gives."""


class OwnersGate(Document):
    """The gate of a model's owner, as the champion keeps it for the versions of other experiments."""

    metric: str
    goal: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    better_than: str | None = None

    @classmethod
    def of(cls, gate: When | None) -> Self | None:
        return cls.model_validate(gate.model_dump()) if gate else None


def refusal(
    gate: When | OwnersGate | None, metrics: Mapping[str, float], champion: Mapping[str, float] | None
) -> str | None:
    """Return why the model is not to be registered, with the figures, or None where it is.

    `champion` holds the metrics of the present champion, or is None where there is none yet. A metric that is no
    number passes nothing.
    """
    if gate is None:
        return None
    value = metrics.get(gate.metric)
    if value is None:
        known = shorten(", ".join(sorted(metrics)), MOST_NAMED, placeholder=" …") or "none"
        return f"The job logged no metric {gate.metric!r}; it logged: {known}."
    if math.isnan(value):
        return f"{gate.metric} is nan, which is no number."
    for word, limit, fails in (("least", gate.at_least, operator.lt), ("most", gate.at_most, operator.gt)):
        if limit is not None and fails(value, limit):
            return f"{gate.metric} is {value:g}, and has to be at {word} {limit:g}."
    best = champion.get(gate.metric) if champion and gate.better_than else None
    if best is not None and (value >= best if gate.goal == "minimize" else value <= best):
        return f"{gate.metric} is {value:g}, no better than the champion's {best:g}."
    return None
