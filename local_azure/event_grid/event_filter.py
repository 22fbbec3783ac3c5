"""Which events a subscription receives.

Keys and semantics are Azure's: https://learn.microsoft.com/azure/event-grid/event-filtering. Arrays in an event match
nothing, as in Azure without enableAdvancedFilteringOnArrays.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator
from pydantic.alias_generators import to_camel

from local_azure.event_grid.event_schema import Event, subject_of, type_of

_Number = StrictInt | StrictFloat
_Value = StrictBool | _Number | StrictStr
_MISSING: Final = object()

_STRINGS: Mapping[str, Callable[[str, str], bool]] = {
    "StringIn": lambda actual, wanted: actual == wanted,
    "StringContains": lambda actual, wanted: wanted in actual,
    "StringBeginsWith": lambda actual, wanted: actual.startswith(wanted),
    "StringEndsWith": lambda actual, wanted: actual.endswith(wanted),
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "NumberGreaterThan": lambda actual, wanted: actual > wanted,
    "NumberGreaterThanOrEquals": lambda actual, wanted: actual >= wanted,
    "NumberLessThan": lambda actual, wanted: actual < wanted,
    "NumberLessThanOrEquals": lambda actual, wanted: actual <= wanted,
}
_NEGATIONS = {
    "StringNotIn": "StringIn",
    "StringNotContains": "StringContains",
    "StringNotBeginsWith": "StringBeginsWith",
    "StringNotEndsWith": "StringEndsWith",
    "NumberNotIn": "NumberIn",
    "NumberNotInRange": "NumberInRange",
    "IsNotNull": "IsNullOrUndefined",
}
_POSITIVE = {*_STRINGS, *_COMPARISONS, "NumberIn", "NumberInRange", "BoolEquals", "IsNullOrUndefined"}
OPERATORS = frozenset(_POSITIVE | set(_NEGATIONS))
"""Every operator of an advanced filter."""


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class AdvancedFilter(_Model):
    """One condition on a value of the event: it must match `value`, or one of `values`."""

    operator_type: str
    key: str = Field(min_length=1)
    value: _Value | None = None
    values: tuple[_Value, ...] | tuple[tuple[_Number, _Number], ...] | None = Field(default=None, max_length=25)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.operator_type not in OPERATORS:
            raise ValueError(f"operatorType {self.operator_type!r} is not one of: {', '.join(sorted(OPERATORS))}")
        positive = _NEGATIONS.get(self.operator_type, self.operator_type)
        expected, fits = _expected_values(positive, self.value, self.values)
        if not fits:
            raise ValueError(f"{self.operator_type} expects {expected}")
        return self

    def matches(self, event: Event) -> bool:
        """Return whether the event meets the condition. A missing key meets a negated condition."""
        actual = _value_at(event, self.key)
        if self.operator_type in _NEGATIONS:
            return not self._holds(_NEGATIONS[self.operator_type], actual)
        return self._holds(self.operator_type, actual)

    def _holds(self, operator: str, actual: object) -> bool:
        wanted: tuple[Any, ...] = (self.value,) if self.values is None else self.values
        if operator == "IsNullOrUndefined":
            return actual is None or actual is _MISSING
        if operator == "BoolEquals":
            return isinstance(actual, bool) and actual == self.value
        if operator in _STRINGS:
            holds = _STRINGS[operator]
            return isinstance(actual, str) and any(holds(actual.lower(), one.lower()) for one in wanted)
        if not isinstance(actual, int | float) or isinstance(actual, bool):
            return False
        return _number_holds(operator, actual, wanted)


class EventFilter(_Model):
    """All conditions must be met; an empty filter matches every event."""

    included_event_types: tuple[str, ...] | None = None
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    is_subject_case_sensitive: bool = False
    advanced_filters: tuple[AdvancedFilter, ...] = Field(default=(), max_length=25)

    def matches(self, event: Event) -> bool:
        """Return whether the event matches, in either schema."""
        wanted_types = {kind.lower() for kind in self.included_event_types or ("All",)}
        if "all" not in wanted_types and type_of(event).lower() not in wanted_types:
            return False
        subject, start, end = subject_of(event), self.subject_begins_with, self.subject_ends_with
        if not self.is_subject_case_sensitive:
            subject, start, end = subject.lower(), start.lower(), end.lower()
        return (
            subject.startswith(start)
            and subject.endswith(end)
            and all(condition.matches(event) for condition in self.advanced_filters)
        )


def _number_holds(operator: str, actual: float, wanted: tuple[Any, ...]) -> bool:
    if operator == "NumberIn":
        return actual in wanted
    if operator == "NumberInRange":
        return any(low <= actual <= high for low, high in wanted)
    return _COMPARISONS[operator](actual, wanted[0])


def _expected_values(operator: str, value: _Value | None, values: tuple[Any, ...] | None) -> tuple[str, bool]:
    """Return which values the operator takes, in words, and whether these fit."""
    if operator == "IsNullOrUndefined":
        return "neither value nor values", value is None and values is None
    if operator == "BoolEquals":
        return "a value that is true or false", isinstance(value, bool) and values is None
    if operator in _COMPARISONS:
        return "a value that is a number", _is_number(value) and values is None
    one_by_one = bool(values) and value is None
    if operator in _STRINGS:
        return "values that are text", one_by_one and all(isinstance(one, str) for one in values or ())
    if operator == "NumberInRange":
        return "values that are pairs of numbers", one_by_one and all(isinstance(one, tuple) for one in values or ())
    return "values that are numbers", one_by_one and all(_is_number(one) for one in values or ())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value_at(event: Event, key: str) -> object:
    """Return the value of a key such as `data.copy.status`, or _MISSING. Names match exactly, else ignoring case."""
    value: object = event
    for name in key.split("."):
        if not isinstance(value, Mapping):
            return _MISSING
        if name in value:
            value = value[name]
            continue
        folded = {str(known).lower(): known for known in value}
        if name.lower() not in folded:
            return _MISSING
        value = value[folded[name.lower()]]
    return value
