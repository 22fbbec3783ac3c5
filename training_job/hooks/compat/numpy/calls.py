# ruff: noqa: ANN401 - these take and return whatever NumPy does
"""Calls that NumPy has come to refuse, as old code makes them.

| call | refused since | what it did, and does for old code |
|---|---|---|
| `array`, `asarray`, `asanyarray` of lists of different lengths | 1.24 | an array of objects |
| `array(a, copy=False)` where a copy is needed | 2.0 | a copy |
| `array`, `asarray`, `full` of integers that the type cannot hold, such as -1 in uint8 | 2.0 | they wrap around |
| `hstack`, `vstack`, `dstack`, `stack`, `column_stack` of a generator | 1.24 | as of a list |
| `histogram(normed=…)` | 1.24 | `density` |
| `fromstring` of bytes, without `sep` | 2.3 | a copy of the bytes |
| `unravel_index(dims=…)` | 1.21 | `shape` |
| `random.permutation` and `choice` of pairs of arrays and labels | 1.24 | as of an array of objects |
| `ndarray.itemset`, `.newbyteorder`, `.ptp` | 2.0 | as before |
| `ndarray.tostring` | 2.3 | `tobytes` |

Sources: the release notes of these versions, https://numpy.org/doc/stable/release.html.
"""

import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_names
from training_job.hooks.compat.caller_origin import called_by_old_code

_MARK = "__kedja_old_calls__"
_COPIES_IF_NEEDED = int(np.__version__.partition(".")[0]) > 1


def install() -> None:
    """Accept the old calls of `numpy` and of its arrays, from old code. Calling this again has no effect."""
    for name in ("array", "asarray", "asanyarray", "full"):
        _accept_values(name)
    for name in ("hstack", "vstack", "dstack", "stack", "column_stack"):
        _accept_generators(name)
    lost_names.wrap(np, "fromstring", _fromstring)
    lost_names.wrap_keywords(np, "histogram", {"normed": lost_names.renamed_to("density")})
    lost_names.wrap_keywords(np, "unravel_index", {"dims": lost_names.renamed_to("shape")})
    methods = {"itemset": _itemset, "newbyteorder": _newbyteorder, "ptp": _ptp, "tostring": _tostring}
    lost_names.add_members(np.ndarray, methods)


def install_random(module: ModuleType) -> None:
    """Accept ragged sequences in functions of `numpy.random`."""
    for name in ("permutation", "choice"):
        lost_names.wrap(module, name, _of_sequence)


def _accept_values(name: str) -> None:
    """Make `numpy.<name>` accept the old calls. The caller is looked at only if NumPy refuses the values."""
    function = getattr(np, name)
    if getattr(function, _MARK, False):
        return

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if kwargs and "copy" in kwargs and _COPIES_IF_NEEDED and kwargs["copy"] is False and called_by_old_code():
            kwargs["copy"] = None
        try:
            return function(*args, **kwargs)
        except (ValueError, OverflowError) as error:
            if not called_by_old_code():
                raise
            return _as_before(function, error, args, kwargs)

    setattr(wrapper, _MARK, True)
    setattr(np, name, wrapper)


def _as_before(function: Callable[..., Any], error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make the array that NumPy made before it refused the values.

    Raises:
        ValueError, OverflowError: It refused these before, too.
    """
    at = 2 if function.__name__ == "full" else 1
    dtype = args[at] if len(args) > at else kwargs.get("dtype")
    others = {key: value for key, value in kwargs.items() if key != "dtype"}
    if isinstance(error, OverflowError):
        if dtype is None or np.dtype(dtype).kind not in "iu":
            raise error
        return function(*args[:at], dtype=np.int64, **others).astype(dtype)
    if dtype is not None or "inhomogeneous" not in str(error):
        raise error
    return function(*args[:at], dtype=object, **others)


def _accept_generators(name: str) -> None:
    """Make `numpy.<name>` accept a generator or a `map` of arrays."""
    function = getattr(np, name)
    if getattr(function, _MARK, False):
        return

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], Iterator) and called_by_old_code():
            args = (list(args[0]), *args[1:])
        return function(*args, **kwargs)

    setattr(wrapper, _MARK, True)
    setattr(np, name, wrapper)


def _fromstring(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    names = ("string", "dtype", "count", "sep")
    given = dict(zip(names, args, strict=False)) | kwargs
    if given.get("sep"):
        return function(*args, **kwargs)
    string = given["string"]
    data = string.encode() if isinstance(string, str) else string
    return np.frombuffer(data, given.get("dtype", float), given.get("count", -1)).copy()


def _of_sequence(function: Callable[..., Any], a: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(a, list | tuple):
        a = _array_of(a)
    return function(a, *args, **kwargs)


def _array_of(sequence: Any) -> Any:
    try:
        return np.array(sequence)
    except ValueError:
        return np.array(sequence, dtype=object)


def _itemset(array: Any, *args: Any) -> None:
    *index, value = args
    if not index:
        array.flat[0] = value
    elif len(index) == 1 and isinstance(index[0], int | np.integer):
        array.flat[index[0]] = value
    else:
        array[tuple(index[0]) if len(index) == 1 else tuple(index)] = value


def _newbyteorder(array: Any, new_order: str = "S") -> Any:
    return array.view(array.dtype.newbyteorder(new_order))


def _ptp(array: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:  # noqa: FBT001, FBT002 - NumPy's
    return np.ptp(array, axis=axis, out=out, keepdims=keepdims)


def _tostring(array: Any, order: str = "C") -> bytes:
    return bytes(array.tobytes(order))
