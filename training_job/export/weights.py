"""Loads the weights of a file that a script saved into a Link, after comparing their names and shapes."""

import importlib
import pickle
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from training_job.atomic_write import DAMAGED_ARRAYS
from training_job.errors import ExportError

_NAMED = 3


class Format(StrEnum):
    """How a Link was saved."""

    NPZ = "npz"
    HDF5 = "hdf5"
    PICKLE = "pickle"
    SNAPSHOT = "snapshot"


def load(path: Path, saved_as: Format, link: Any, prefix: str = "") -> None:  # noqa: ANN401 - Chainer has no types
    """Fill a Link with the weights of a file. Of a snapshot, only the arrays below `prefix` are used.

    A pickle is loaded, which runs what is in it: the script's own process has just written it.

    Raises:
        ExportError: The file cannot be read, or does not have exactly the arrays of the Link.
    """
    from chainer import serializers  # noqa: PLC0415 - the caller has a Link, so it is imported

    try:
        arrays = _read(path, saved_as, link)
    except DAMAGED_ARRAYS as error:
        raise ExportError(f"{path.name} cannot be read: {error}") from error
    except (ImportError, pickle.PickleError) as error:
        raise ExportError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error
    arrays = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    _compare(path, arrays, _arrays(link))
    try:
        serializers.NpzDeserializer(arrays).load(link)
    except Exception as error:  # a Link may have a `serialize` of its own
        raise ExportError(f"{path.name} does not fit {type(link).__name__}: {type(error).__name__}: {error}") from error


def _compare(path: Path, arrays: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    missing, more = sorted(own.keys() - arrays.keys()), sorted(arrays.keys() - own.keys())
    if missing or more:
        parts = [
            f"{word} {', '.join(names[:_NAMED])}" for word, names in (("lacks", missing), ("also has", more)) if names
        ]
        raise ExportError(f"{path.name} does not have the weights of this Link: it {' and '.join(parts)}")
    for name, value in arrays.items():
        shape = own[name].shape
        if shape and np.shape(value) and shape != value.shape:
            raise ExportError(f"{name} has shape {value.shape} in {path.name}, and {shape} in the Link")


def _read(path: Path, saved_as: Format, link: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    if saved_as is Format.HDF5:
        return _hdf5(path)
    if saved_as is Format.PICKLE:
        loaded = _unpickled(path)
        if type(loaded).__name__ != type(link).__name__:
            raise ExportError(f"{path.name} holds a {type(loaded).__name__}, and not only a Link")
        return _arrays(loaded)
    with np.load(path, allow_pickle=False) as archive:
        return {name: _member(archive, name) for name in archive.files}


def _member(archive: Any, name: str) -> Any:  # noqa: ANN401 - an archive of NumPy
    try:
        return archive[name]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        return np.array(None)  # Chainer writes a parameter without a value as a pickled None


def _hdf5(path: Path) -> dict[str, Any]:
    h5py = importlib.import_module("h5py")
    arrays: dict[str, Any] = {}

    def take(name: str, item: Any) -> None:  # noqa: ANN401 - h5py has no types
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.array(None) if item.shape is None else np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return arrays


def _unpickled(path: Path) -> Any:  # noqa: ANN401 - whatever was pickled
    with path.open("rb") as stream:
        try:
            return pickle.load(stream)  # noqa: S301 - this process has written it
        except Exception:
            for name in ("joblib", "dill"):
                if name in sys.modules:
                    stream.seek(0)
                    return sys.modules[name].load(stream)
            raise


def _arrays(link: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    from chainer.serializers import npz  # noqa: PLC0415 - as above

    return dict(npz.serialize(link))
