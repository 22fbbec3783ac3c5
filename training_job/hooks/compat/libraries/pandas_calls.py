# ruff: noqa: ANN401 - pandas' old signatures
"""The names and calls that pandas has removed, for old code.

Sources: https://pandas.pydata.org/docs/whatsnew/, versions 0.18 to 2.0.
"""

import datetime as dt
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from training_job.hooks.compat import lost_modules, lost_names
from training_job.hooks.compat.libraries import pandas_members

_BY_POSITION = (
    "any", "all", "bfill", "clip", "drop", "drop_duplicates", "dropna", "ffill", "fillna", "interpolate", "mask",
    "pivot", "quantile", "reset_index", "set_axis", "set_index", "sort_index", "sort_values", "to_csv", "to_dict",
    "where",
)  # fmt: skip
_REDUCTIONS = ("mean", "median", "std", "var", "sem", "skew", "kurt", "prod", "corr", "cov", "quantile")


def install(module: ModuleType) -> None:
    """Serve the lost names, methods and arguments of pandas."""
    lost_names.serve(module, _names())
    lost_modules.provide(
        {
            "pandas.tools": lambda stand_in: vars(stand_in).update(plotting=pd.plotting),
            "pandas.tools.plotting": lost_modules.alias("pandas.plotting"),
            "pandas.util.testing": lost_modules.alias("pandas.testing"),
        }
    )
    lost_names.add_members(pd.DataFrame, pandas_members.OF_FRAME)
    lost_names.add_members(pd.Series, pandas_members.OF_SERIES)
    lost_names.add_members(pd.Index, {"get_values": lambda self: self.to_numpy()})
    _accept_old_files()
    for name in _REDUCTIONS:
        _leave_out_text(pd.DataFrame, name)
    for cls in (pd.DataFrame, pd.Series):
        for name in _BY_POSITION:
            lost_names.allow_positional(cls, name)


def _accept_old_files() -> None:
    """Accept the old arguments of `read_csv`, `read_table` and `to_csv`."""
    for name in ("read_csv", "read_table"):
        lost_names.wrap(pd, name, _read)
    for cls in (pd.DataFrame, pd.Series):
        lost_names.wrap_keywords(cls, "to_csv", {"line_terminator": lost_names.renamed_to("lineterminator")})


def _read(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Read a file with the separator by position, what to do with bad lines in two flags, and `squeeze`."""
    file, *more = args
    kwargs = dict(zip(("sep",), more, strict=False)) | kwargs
    raises, warns = kwargs.pop("error_bad_lines", None), kwargs.pop("warn_bad_lines", True)
    if raises is not None and not raises:
        kwargs.setdefault("on_bad_lines", "warn" if warns else "skip")
    for name in ("mangle_dupe_cols", "tupleize_cols"):
        kwargs.pop(name, None)
    squeeze, prefix = kwargs.pop("squeeze", False), kwargs.pop("prefix", None)
    result = function(file, **kwargs)
    if prefix is not None and "header" in kwargs and kwargs["header"] is None:
        result = result.add_prefix(prefix)
    return result.squeeze("columns") if squeeze else result


def _names() -> dict[str, Callable[[], Any]]:
    names: dict[str, Callable[[], Any]] = {
        "np": lambda: np,
        "datetime": lambda: dt.datetime,
        "scatter_matrix": lambda: pd.plotting.scatter_matrix,
        "TimeGrouper": lambda: lambda freq, **options: pd.Grouper(freq=freq, **options),
        "match": lambda: lambda to_match, values: pd.Index(values).get_indexer(to_match),
    }
    names |= {name: lambda: pd.Index for name in ("Int64Index", "UInt64Index", "Float64Index")}
    kinds = ("mean", "std", "var", "sum", "min", "max", "median", "count")
    return names | {f"rolling_{kind}": lambda kind=kind: _rolling(kind) for kind in kinds}


def _rolling(kind: str) -> Callable[..., Any]:
    def rolling(arg: Any, window: int, min_periods: int | None = None, center: bool = False, **more: Any) -> Any:  # noqa: FBT001, FBT002, ARG001
        found = pd.Series(arg) if isinstance(arg, np.ndarray) else arg
        result = getattr(found.rolling(window, min_periods=min_periods, center=center), kind)()
        return result.to_numpy() if isinstance(arg, np.ndarray) else result

    return rolling


def _leave_out_text(cls: type, name: str) -> None:
    """Calculate `DataFrame.<name>` of the columns with numbers alone, as it did until pandas 2."""

    def old(function: Any, *args: Any, **kwargs: Any) -> Any:
        if "numeric_only" not in kwargs and len(args[0].select_dtypes(["number", "bool"]).columns) < args[0].shape[1]:
            kwargs["numeric_only"] = True
        return function(*args, **kwargs)

    lost_names.wrap(cls, name, old)


def install_json(module: ModuleType) -> None:
    """Serve `pandas.io.json.json_normalize`."""
    lost_names.serve(module, {"json_normalize": lambda: import_module("pandas").json_normalize})
