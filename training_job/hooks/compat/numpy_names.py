"""The names that NumPy has removed, for old code.

Sources: the release notes of NumPy 1.24, 1.25, 2.0 and 2.4, https://numpy.org/doc/stable/release.html.
"""

import ast
import contextlib
import functools
import math
import operator
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from training_job.hooks.compat import caller_origin, numpy_functions
from training_job.hooks.compat.caller_origin import JOB_VARIABLE

_PYTHON_TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "object": object,
    "str": str,
    "complex": complex,
    "long": int,
    "unicode": str,
}
_RENAMED = {
    "float_": "float64",
    "complex_": "complex128",
    "cfloat": "complex128",
    "singlecomplex": "complex64",
    "longfloat": "longdouble",
    "longcomplex": "clongdouble",
    "clongfloat": "clongdouble",
    "unicode_": "str_",
    "string_": "bytes_",
    "bool8": "bool_",
    "Inf": "inf",
    "Infinity": "inf",
    "infty": "inf",
    "PINF": "inf",
    "NaN": "nan",
    "product": "prod",
    "cumproduct": "cumprod",
    "sometrue": "any",
    "alltrue": "all",
    "row_stack": "vstack",
    "trapz": "trapezoid",
    "round_": "round",
    "mat": "asmatrix",
    "int0": "intp",
    "uint0": "uintp",
    "str0": "str_",
    "bytes0": "bytes_",
    "void0": "void",
    "object0": "object_",
    "typeDict": "sctypeDict",
    "rank": "ndim",
    "compare_chararrays": "char.compare_chararrays",
    "format_parser": "rec.format_parser",
    "byte_bounds": "lib.array_utils.byte_bounds",
    "DataSource": "lib.npyio.DataSource",
}


def _sctypes() -> dict[str, list[Any]]:
    return {
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64, np.longdouble],
        "complex": [np.complex64, np.complex128, np.clongdouble],
        "others": [bool, object, bytes, str, np.void],
    }


_MADE: dict[str, Callable[[], Any]] = {
    "sctypes": _sctypes,
    "NINF": lambda: -np.inf,
    "NZERO": lambda: -0.0,
    "PZERO": lambda: 0.0,
    "math": lambda: math,
    "safe_eval": lambda: ast.literal_eval,
    **{name: functools.partial(getattr, numpy_functions, name) for name in numpy_functions.__all__},
}


def find(name: str) -> Any:  # noqa: ANN401 - a NumPy name can be anything
    """Return the meaning of a removed name.

    Raises:
        AttributeError: The name is unknown, or has no successor.
    """
    if name in _PYTHON_TYPES:
        return _PYTHON_TYPES[name]
    if name in _RENAMED:
        return operator.attrgetter(_RENAMED[name])(np)
    if name in _MADE:
        return _MADE[name]()
    raise AttributeError(f"module 'numpy' has no attribute {name!r}")


def install() -> None:
    """Serve the removed names through `numpy.__getattr__`, which Python calls only for missing names."""
    ask_numpy = np.__getattr__
    if getattr(ask_numpy, "serves_lost_names", False):
        return
    job = os.environ.get(JOB_VARIABLE)

    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 - PEP 562
        caller = sys._getframe(1).f_globals  # noqa: SLF001 - the only way to know the caller
        if _is_old_code(caller, job):
            # If there is no successor, NumPy's own message says what to use instead.
            with contextlib.suppress(AttributeError):
                return find(name)
        return ask_numpy(name)

    __getattr__.serves_lost_names = True  # type: ignore[attr-defined]
    np.__getattr__ = __getattr__  # type: ignore[method-assign] # a module has no methods


def _is_old_code(caller: dict[str, Any], job: str | None) -> bool:
    """Whether the caller is Chainer, the script, or a file of the job outside of installed packages."""
    return (
        caller.get("__name__") == "__main__"
        or caller_origin.is_chainer(caller)
        or caller_origin.is_job_file(caller, job)
    )
