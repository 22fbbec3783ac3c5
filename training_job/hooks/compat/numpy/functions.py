# ruff: noqa: ANN401 - these take and return whatever NumPy does
"""Functions and tables that NumPy has removed, for `training_job.hooks.compat.numpy.names`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "alen",
    "asfarray",
    "asscalar",
    "cast",
    "fastCopyAndTranspose",
    "find_common_type",
    "in1d",
    "issctype",
    "issubclass_",
    "issubsctype",
    "msort",
    "nbytes",
    "obj2sctype",
    "sctype2char",
]

_KINDS = "buifcSUVOMm"
"""Kinds of types, in ascending order for `find_common_type`."""


class _ByType:
    """A table by type, whose keys are anything that `numpy.dtype` accepts."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __getitem__(self, kind: Any) -> Any:
        return self._make(np.dtype(kind))


nbytes = _ByType(lambda dtype: dtype.itemsize)
cast = _ByType(lambda dtype: lambda value: np.asarray(value).astype(dtype))


def asscalar(a: Any) -> Any:
    """Return the only value of an array as a Python number."""
    return a.item()


def alen(a: Any) -> int:
    """Return the length of the first axis; 1 for a scalar."""
    return len(np.atleast_1d(a))


def in1d(ar1: Any, ar2: Any, assume_unique: bool = False, invert: bool = False, **more: Any) -> Any:  # noqa: FBT001, FBT002
    """Return for each value of the flattened array `ar1` whether it is in `ar2`, as bool (N,)."""
    return np.isin(np.ravel(ar1), ar2, assume_unique=assume_unique, invert=invert, **more)


def msort(a: Any) -> Any:
    """Return a copy that is sorted along the first axis."""
    return np.sort(a, axis=0)


def fastCopyAndTranspose(a: Any) -> Any:  # noqa: N802 - NumPy's name
    """Return a transposed copy."""
    return np.array(np.asarray(a).T, order="C")


def asfarray(a: Any, dtype: Any = np.float64) -> Any:
    """Return the array with a floating point type."""
    return np.asarray(a, dtype if np.issubdtype(dtype, np.inexact) else np.float64)


def find_common_type(array_types: Sequence[Any], scalar_types: Sequence[Any]) -> Any:
    """Return the common type of arrays and scalars. Scalars count only if they are of a higher kind."""
    array, scalar = (np.result_type(*map(np.dtype, types)) if types else None for types in (array_types, scalar_types))
    if array is None or scalar is None:
        return scalar if array is None else array
    is_higher = _KINDS.index(scalar.kind) > _KINDS.index(array.kind)
    return np.promote_types(array, scalar) if is_higher else array


def obj2sctype(rep: Any, default: Any = None) -> Any:
    """Return the scalar type of an array, a type or a type's name."""
    if isinstance(rep, np.ndarray):
        return rep.dtype.type
    try:
        return rep if isinstance(rep, type) and issubclass(rep, np.generic) else np.dtype(rep).type
    except TypeError:
        return default


def sctype2char(sctype: Any) -> str:
    """Return the character of a scalar type.

    Raises:
        ValueError: It is not a scalar type.
    """
    found = obj2sctype(sctype)
    if found is None:
        raise ValueError("unrecognized type")
    return str(np.dtype(found).char)


def issctype(rep: Any) -> bool:
    """Whether `rep` is a scalar type or a dtype other than that of objects."""
    return isinstance(rep, type | np.dtype) and obj2sctype(rep) not in (None, np.object_)


def issubclass_(arg1: Any, arg2: Any) -> bool:
    """Whether `arg1` is a class and a subclass of `arg2`."""
    return isinstance(arg1, type) and issubclass(arg1, arg2)


def issubsctype(arg1: Any, arg2: Any) -> bool:
    """Whether the scalar type of `arg1` is a subclass of that of `arg2`."""
    return issubclass(obj2sctype(arg1), obj2sctype(arg2))
