"""How the Links of a script were called: the signatures and ranges of the first calls of each.

Calls of one method whose arguments have the same kinds are one `CallGroup`. No array is kept.
"""

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_CALLS = 20
"""Calls of a method of a Link that are recorded."""
_MOST_GROUPS = 8
_MOST_VALUES = 1 << 20
_MOST_VALUES_INSIDE = 1 << 14  # of an argument of a Link that another one calls


@dataclass
class ArrayArgument:
    """Arrays given as one argument: dtype, the shapes seen, and the smallest and largest finite value, if any."""

    dtype: str
    shapes: list[tuple[int, ...]]
    low: float | None
    high: float | None
    is_variable: bool

    def add(self, other: "ArrayArgument") -> None:
        """Add what another call gave as this argument."""
        self.shapes += [shape for shape in other.shapes if shape not in self.shapes]
        self.low = min((x for x in (self.low, other.low) if x is not None), default=None)
        self.high = max((x for x in (self.high, other.high) if x is not None), default=None)


@dataclass(frozen=True)
class PlainArgument:
    """A number, text, flag or None that was given as an argument."""

    value: bool | int | float | str | None


@dataclass(frozen=True)
class OtherArgument:
    """An argument that no ONNX graph can take, such as a list of arrays; `kind` is its type's name."""

    kind: str


Argument = ArrayArgument | PlainArgument | OtherArgument


@dataclass
class CallGroup:
    """Calls of one method with arguments of the same kinds. `arguments` has positions, then keywords.

    `returns_scalar` says whether all calls returned a single number, as a loss is; `returns_tensors` whether one
    returned Variables or a Distribution that are more than that.
    """

    method: str
    arguments: dict[int | str, Argument]
    count: int = 1
    returns_scalar: bool = False
    returns_tensors: bool = False

    @property
    def arrays(self) -> dict[int | str, ArrayArgument]:
        """The arguments that are arrays."""
        return {key: value for key, value in self.arguments.items() if isinstance(value, ArrayArgument)}

    @property
    def others(self) -> list[str]:
        """The types of arguments that no graph can take."""
        return [value.kind for value in self.arguments.values() if isinstance(value, OtherArgument)]

    def key(self) -> tuple[object, ...]:
        """Return what calls of the same group have in common."""
        return (self.method, *((key, _kind(value)) for key, value in self.arguments.items()))

    def add(self, other: "CallGroup") -> None:
        """Add a call of the same group."""
        self.count += other.count
        self.returns_scalar = self.returns_scalar and other.returns_scalar
        self.returns_tensors = self.returns_tensors or other.returns_tensors
        for key, argument in self.arrays.items():
            argument.add(other.arrays[key])


@dataclass
class LinkCalls:
    """The recorded calls of one Link. `left` has how many calls of each method will still be recorded."""

    link: weakref.ref[Any]
    groups: dict[tuple[object, ...], CallGroup] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    def add(self, group: CallGroup) -> None:
        """Add a call."""
        known = self.groups.get(group.key())
        if known is not None:
            known.add(group)
        elif len(self.groups) < _MOST_GROUPS:
            self.groups[group.key()] = group


class RecordedCalls:
    """The recorded calls of the Links of this process."""

    def __init__(self) -> None:
        self._by_id: dict[int, LinkCalls] = {}
        self._by_class: dict[type, LinkCalls] = {}

    def of(self, link: Any) -> LinkCalls:  # noqa: ANN401 - Chainer has no types
        """Return the record of a Link, which is empty for a new one."""
        known = self._by_id.get(id(link))
        if known is None or known.link() is not link:
            known = LinkCalls(weakref.ref(link))
            self._by_id[id(link)] = self._by_class[type(link)] = known
        return known

    def groups(self, link: Any) -> Sequence[CallGroup]:  # noqa: ANN401 - as above
        """Return how a Link was called; if it was not, how the last one of its class was."""
        known = self._by_id.get(id(link))
        if known is None or known.link() is not link or not known.groups:
            known = self._by_class.get(type(link))
        return () if known is None else list(known.groups.values())


CALLS = RecordedCalls()
"""The calls of this process."""


def describe(
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    is_inside: bool,
    array_types: tuple[type, ...],
    variable: type,
) -> CallGroup:
    """Return a call without its result. `is_inside` is for a Link that is called by another one."""
    arguments: dict[int | str, Argument] = {}
    most = _MOST_VALUES_INSIDE if is_inside else _MOST_VALUES
    given: Iterable[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    for key, value in given:
        is_variable = isinstance(value, variable)
        array = value.array if is_variable else value
        if isinstance(array, array_types):
            arguments[key] = _array(array, most, is_variable=is_variable)
        elif array is None or isinstance(array, bool | int | float | str):
            arguments[key] = PlainArgument(array)
        else:
            arguments[key] = OtherArgument(type(value).__name__)
    return CallGroup(method, arguments)


def _array(array: Any, most: int, *, is_variable: bool) -> ArrayArgument:  # noqa: ANN401 - NumPy or CuPy
    low = high = None
    if array.size and array.dtype.kind in "buif":
        values = array
        if array.size > most:
            values = array.reshape(-1)[:: -(-array.size // most)]
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            low = high = None
    return ArrayArgument(str(array.dtype), [tuple(array.shape)], low, high, is_variable)


def _kind(argument: Argument) -> tuple[object, ...]:
    if isinstance(argument, ArrayArgument):
        return ("array", argument.dtype, len(argument.shapes[0]))
    if isinstance(argument, PlainArgument):
        return ("plain", repr(argument.value))
    return ("other", argument.kind)
