# ruff: noqa: ANN401 - a CuPy name can be anything
"""The names that CuPy has removed since version 7, the last one of Chainer's time, for old code.

Sources: https://docs.cupy.dev/en/stable/upgrade.html; the names of NumPy that CuPy repeated are those of
`training_job.hooks.compat.numpy.names`.
"""

import functools
from importlib import import_module
from types import ModuleType
from typing import Any

from training_job.hooks.compat import lost_modules, lost_names

_PYTHON_TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "object": object, "complex": complex, "str": str, "long": int,
}  # fmt: skip
_RENAMED = {
    "product": "prod", "cumproduct": "cumprod", "sometrue": "any", "alltrue": "all", "row_stack": "vstack",
    "in1d": "isin", "round_": "round", "Inf": "inf", "Infinity": "inf", "infty": "inf", "PINF": "inf", "NaN": "nan",
    "float_": "float64", "complex_": "complex128", "bool8": "bool_", "int0": "intp", "rank": "ndim",
}  # fmt: skip
_MODULES = {
    "core": "cupy._core",
    "core.core": "cupy._core.core",
    "core.elementwise": "cupy._core._kernel",
    "core.fusion": "cupy._core.fusion",
    "core.internal": "cupy._core.internal",
    "core.raw": "cupy._core.raw",
    "util": "cupy._util",
    "creation": "cupy._creation",
    "indexing": "cupy._indexing",
    "logic": "cupy._logic",
    "manipulation": "cupy._manipulation",
    "math": "cupy._math",
    "padding": "cupy._padding",
    "sorting": "cupy._sorting",
    "statistics": "cupy._statistics",
    "sparse": "cupyx.scipy.sparse",
}
"""The modules that have become private or moved, without `cupy.`, and where they are."""

_SCATTER = {"scatter_add": "scatter_add", "scatter_max": "scatter_max", "scatter_min": "scatter_min"}


def install(module: ModuleType) -> None:
    """Serve the lost names and modules of `cupy`."""
    lost_names.serve(module, functools.partial(_find, module))
    lost_modules.provide({f"cupy.{name}": lost_modules.alias(today) for name, today in _MODULES.items()})


def install_cuda(module: ModuleType) -> None:
    """Serve `cupy.cuda.compile_with_cache`."""
    lost_names.serve(module, {"compile_with_cache": lambda: import_module("cupy._core.core").compile_with_cache})


def _find(cupy: ModuleType, name: str) -> Any:
    if name in _PYTHON_TYPES:
        return _PYTHON_TYPES[name]
    if name in _SCATTER:
        return getattr(import_module("cupyx"), _SCATTER[name])
    if name == "asscalar":
        return lambda a: a.item()
    if name in _RENAMED:
        return getattr(cupy, _RENAMED[name])
    if name in _MODULES:
        return import_module(f"cupy.{name}")
    raise AttributeError(f"module 'cupy' has no attribute {name!r}")
