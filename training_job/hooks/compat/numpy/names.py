"""The names that NumPy has removed, for old code.

Sources: the release notes of NumPy 1.24, 1.25, 2.0 and 2.4, https://numpy.org/doc/stable/release.html.
"""

import ast
import functools
import math
import operator
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_modules, lost_names
from training_job.hooks.compat.numpy import functions

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

_LIB_MODULES = ("arraypad", "arraysetops", "function_base", "index_tricks", "shape_base", "twodim_base", "type_check")


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
    **{name: functools.partial(getattr, functions, name) for name in functions.__all__},
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


def _lib(name: str) -> Any:  # noqa: ANN401 - as above
    """Return what `numpy.lib` lost: the functions of `numpy`, and modules that are private today."""
    if name in _LIB_MODULES:
        return import_module(f"numpy.lib._{name}_impl")
    if name in np.__all__:
        return getattr(np, name)
    raise AttributeError(f"module 'numpy.lib' has no attribute {name!r}")


def install() -> None:
    """Serve the removed names to old code. Calling this again has no effect."""
    lost_names.serve(np, find)
    lost_names.serve(np.lib, _lib)
    lost_modules.provide(
        {f"numpy.lib.{name}": lost_modules.alias(f"numpy.lib._{name}_impl") for name in _LIB_MODULES}
        | {"numpy.testing.utils": lost_modules.alias("numpy.testing"), "numpy.core.umath_tests": _umath_tests}
    )


def _umath_tests(module: ModuleType) -> None:
    vars(module)["inner1d"] = lambda a, b: (np.asarray(a) * np.asarray(b)).sum(axis=-1)
