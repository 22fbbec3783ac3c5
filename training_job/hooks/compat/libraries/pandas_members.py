# ruff: noqa: ANN401, FBT001, FBT002 - pandas' old signatures
"""Methods and properties that pandas has removed from its classes, for old code.

Sources: https://pandas.pydata.org/docs/whatsnew/, versions 0.20 to 2.0.
"""

from typing import Any

import numpy as np
import pandas as pd


def _append(
    self: Any, other: Any, ignore_index: bool = False, verify_integrity: bool = False, sort: bool = False
) -> Any:
    """Return the rows of both; `other` may be a row: a Series, a dict, or a list of them."""
    if isinstance(other, dict):
        other = pd.Series(other)
    if isinstance(other, pd.Series):
        if other.name is None and not ignore_index:
            raise TypeError("Can only append a Series if ignore_index=True or if the Series has a name")
        other = other.to_frame().T.infer_objects()
    elif isinstance(other, list) and other and not isinstance(other[0], pd.DataFrame):
        other = pd.DataFrame(other)
    if self.empty and isinstance(other, pd.DataFrame):
        # A first row gives the columns their types, as it did before.
        columns = self.columns.union(other.columns, sort=False)
        return other.reindex(columns=columns).reset_index(drop=True) if ignore_index else other.reindex(columns=columns)
    parts = [self, *(other if isinstance(other, list | tuple) else [other])]
    return pd.concat(parts, ignore_index=ignore_index, verify_integrity=verify_integrity, sort=sort)


def _append_series(self: Any, to_append: Any, ignore_index: bool = False, verify_integrity: bool = False) -> Any:
    parts = [self, *(to_append if isinstance(to_append, list | tuple) else [to_append])]
    return pd.concat(parts, ignore_index=ignore_index, verify_integrity=verify_integrity)


class _Ix:
    """Access by labels, and by positions where the index has no integers, as `ix` had it."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def _keys(self, key: Any) -> tuple[Any, ...]:
        keys = key if isinstance(key, tuple) and self._found.ndim > 1 else (key,)
        return tuple(self._label(one, self._found.axes[at]) for at, one in enumerate(keys))

    def _label(self, key: Any, index: Any) -> Any:
        if pd.api.types.is_integer_dtype(index.dtype):
            return key
        if isinstance(key, slice):
            ends = (key.start, key.stop)
            if all(end is None or isinstance(end, int | np.integer) for end in ends) and ends != (None, None):
                return index[key]
            return key
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return index[key]
        listed = isinstance(key, list | np.ndarray | pd.Index) and len(key)
        if listed and all(isinstance(one, int | np.integer) and not isinstance(one, bool | np.bool_) for one in key):
            return index[np.asarray(key)]
        return key

    def __getitem__(self, key: Any) -> Any:
        keys = self._keys(key)
        return self._found.loc[keys if len(keys) > 1 else keys[0]]

    def __setitem__(self, key: Any, value: Any) -> None:
        keys = self._keys(key)
        self._found.loc[keys if len(keys) > 1 else keys[0]] = value


def _as_matrix(self: Any, columns: Any = None) -> Any:
    return self.to_numpy() if columns is None else self[columns].to_numpy()


def _get_value(self: Any, index: Any, col: Any = None, takeable: bool = False) -> Any:
    keys = index if self.ndim == 1 else (index, col)
    return self.iat[keys] if takeable else self.at[keys]


def _set_value(self: Any, *args: Any, takeable: bool = False) -> Any:
    *keys, value = args
    access = self.iat if takeable else self.at
    access[keys[0] if len(keys) == 1 else tuple(keys)] = value
    return self


def _sort(
    self: Any, columns: Any = None, axis: int = 0, ascending: Any = True, inplace: bool = False, **more: Any
) -> Any:
    if columns is None:
        return self.sort_index(axis=axis, ascending=ascending, inplace=inplace, **more)
    return self.sort_values(columns, axis=axis, ascending=ascending, inplace=inplace, **more)


def _lookup(self: Any, row_labels: Any, col_labels: Any) -> Any:
    return np.array([self.at[row, column] for row, column in zip(row_labels, col_labels, strict=True)])


def _mad(self: Any, axis: int = 0, skipna: bool = True) -> Any:
    if self.ndim == 1:
        return (self - self.mean(skipna=skipna)).abs().mean(skipna=skipna)
    numbers = self.select_dtypes("number")
    means = numbers.mean(axis=axis, skipna=skipna)
    return numbers.sub(means, axis=1 - axis).abs().mean(axis=axis, skipna=skipna)


def _items(self: Any) -> Any:
    return self.items()


_BOTH = {
    "ix": property(_Ix),
    "as_matrix": _as_matrix,
    "get_value": _get_value,
    "set_value": _set_value,
    "iteritems": _items,
    "get_values": lambda self: self.to_numpy(),
    "mad": _mad,
    "clip_lower": lambda self, threshold, axis=None: self.clip(lower=threshold, axis=axis),
    "clip_upper": lambda self, threshold, axis=None: self.clip(upper=threshold, axis=axis),
    "convert_objects": lambda self, **options: self.infer_objects(),  # noqa: ARG005 - its flags had the same default
    "slice_shift": lambda self, periods=1, axis=0: self.shift(periods, axis=axis),
}
OF_FRAME: dict[str, Any] = _BOTH | {
    "append": _append,
    "sort": _sort,
    "lookup": _lookup,
    "irow": lambda self, i: self.iloc[i],
    "icol": lambda self, i: self.iloc[:, i],
    "from_csv": staticmethod(
        lambda path, header=0, sep=",", index_col=0, parse_dates=True: pd.read_csv(
            path, header=header, sep=sep, index_col=index_col, parse_dates=parse_dates
        )
    ),
    "from_items": staticmethod(lambda items, **options: pd.DataFrame.from_dict(dict(items), **options)),
}
"""The lost members of DataFrame."""

OF_SERIES: dict[str, Any] = _BOTH | {
    "append": _append_series,
    "order": lambda self, **options: self.sort_values(**options),
    "sort": lambda self, **options: self.sort_values(inplace=True, **options),  # noqa: PD002 - as it did
    "nonzero": lambda self: self.to_numpy().nonzero(),
    "ptp": lambda self: np.ptp(self.to_numpy()),
    "irow": lambda self, i: self.iloc[i],
    "valid": lambda self, inplace=False: self.dropna(inplace=inplace),
    "compress": lambda self, condition: self[condition],
    "from_array": staticmethod(lambda values, index=None, **options: pd.Series(values, index, **options)),
}
"""The lost members of Series."""
