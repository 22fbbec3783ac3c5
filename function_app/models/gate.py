"""The gate: whether a job's model is good enough to be registered."""

import math
import operator
from collections.abc import Mapping
from textwrap import shorten
from typing import Self

from function_app.domain.document import Document
from function_app.jobspec.kedja_block import GateConditions

MOST_NAMED = 1000
"""Max characters of metric names in a reason."""


class OwnersGate(Document):
    """The gate of a model's owner, which the champion keeps for versions of other experiments."""

    metric: str
    goal: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    better_than: str | None = None

    @classmethod
    def of(cls, gate: GateConditions | None) -> Self | None:
        """Return the gate with these conditions, or None if there are none."""
        return cls.model_validate(gate.model_dump()) if gate else None


def gate_failure(
    gate: GateConditions | OwnersGate | None, metrics: Mapping[str, float], champion: Mapping[str, float] | None
) -> str | None:
    """Return why the model is not to be registered, with the figures, or None if it passes.

    `champion` holds the metrics of the present champion, or is None if there is none yet. NaN passes no condition.
    """
    if gate is None:
        return None
    value = metrics.get(gate.metric)
    if value is None:
        known = shorten(", ".join(sorted(metrics)), MOST_NAMED, placeholder=" …") or "none"
        return f"The job logged no metric {gate.metric!r}; it logged: {known}."
    if math.isnan(value):
        return f"{gate.metric} is nan, which is not a number."
    for word, limit, fails in (("least", gate.at_least, operator.lt), ("most", gate.at_most, operator.gt)):
        if limit is not None and fails(value, limit):
            return f"{gate.metric} is {value:g}, but must be at {word} {limit:g}."
    best = champion.get(gate.metric) if champion and gate.better_than else None
    if best is not None and (value >= best if gate.goal == "minimize" else value <= best):
        return f"{gate.metric} is {value:g}, no better than the champion's {best:g}."
    return None
