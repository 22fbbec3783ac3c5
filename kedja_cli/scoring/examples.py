"""Reads a file of examples as a network takes them, and refuses what differs from what it was trained on.

A file is read by its ending: `.npy`, `.npz`, `.csv`, `.csv.gz`, or a picture. Nothing is scaled or guessed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from kedja_cli.errors import CommandError
from kedja_cli.scoring import pictures, rows
from kedja_cli.scoring.package import Input, Network

_SAME_KIND = {"f": "f", "i": "iu", "u": "iu", "b": "b"}
_SMALL = 1.0
_SLACK = 1e-4
"""The share of a range by which rounding may exceed it."""
_BYTES = (0.0, 255.0)
_FAR = 10
"""How many times the largest value of training a value may be, if these had no usual range."""


@frozen
class Examples:
    """The arrays of each input, `notes` on what was left out, and the labels, if the file has them."""

    arrays: Mapping[str, Any]
    labels: Sequence[str] | None = None
    notes: Sequence[str] = ()

    @property
    def count(self) -> int:
        """The number of examples."""
        return len(next(iter(self.arrays.values())))


def read(path: Path, network: Network, *, any_range: bool = False) -> Examples:
    """Return the examples of a file. With `any_range`, values outside of the usual range are accepted.

    Raises:
        CommandError: The file cannot be read, or has another type, shape, range or columns than the network takes.
    """
    name = path.name.lower()
    if not path.is_file():
        raise CommandError(f"{path} is not a file.")
    if name.endswith((".csv", ".csv.gz")):
        table = rows.read(path, network)
        found = Examples(table.arrays, table.labels, table.notes)
    elif name.endswith(".npy"):
        found = Examples({_only(path, network).name: _load(path)})
    elif name.endswith(".npz"):
        found = _archive(path, network)
    elif name.endswith(pictures.SUFFIXES):
        found = Examples({_only(path, network).name: pictures.read(path, network)})
    else:
        raise CommandError(
            f"{path.name} has an ending that is not known.", "Give a .npy, .npz or .csv file, or a picture."
        )
    arrays = {one.name: _checked(found.arrays[one.name], one, path) for one in network.inputs}
    if network.kind != "table":
        for one in network.inputs:
            _check_values(arrays[one.name], one, path, any_range=any_range)
    if len({len(array) for array in arrays.values()}) > 1 or not len(next(iter(arrays.values()))):
        counts = ", ".join(f"{key} has {len(array)}" for key, array in arrays.items())
        raise CommandError(f"{path.name} has no examples, or not as many for each input: {counts}.")
    return Examples(arrays, found.labels, found.notes)


def _only(path: Path, network: Network) -> Input:
    if len(network.inputs) != 1:
        names = ", ".join(one.name for one in network.inputs)
        raise CommandError(
            f"{path.name} has one array, and network {network.name} takes {len(network.inputs)} inputs.",
            f"Give a .npz file with the arrays {names}." if not network.column_names else "Give a .csv file.",
        )
    return network.inputs[0]


def _load(path: Path) -> Any:  # noqa: ANN401 - an array, or an archive of them
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CommandError(f"{path.name} cannot be read as NumPy's arrays: {error}.") from error


def _archive(path: Path, network: Network) -> Examples:
    archive = _load(path)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise CommandError(f"{path.name} is a single array, and no archive of arrays.")
    try:
        with archive:
            names = [one.name for one in network.inputs]
            if len(names) == 1 and names[0] not in archive.files:
                alone = archive.files if len(archive.files) == 1 else [one for one in ("x", "x_test") if one in archive]
                names = alone[:1] or names
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise CommandError(
                    f"{path.name} lacks the array {missing[0]!r}.", f"It has: {', '.join(archive.files) or 'nothing'}."
                )
            arrays = {one.name: archive[name] for one, name in zip(network.inputs, names, strict=True)}
            label = "y_test" if names == ["x_test"] else "y"
            labels = archive[label] if label in archive.files and label not in names else None
    except (OSError, ValueError, EOFError) as error:
        raise CommandError(f"{path.name} cannot be read as NumPy's arrays: {error}.") from error
    return Examples(arrays, None if labels is None else _named(labels, network))


def _named(labels: Any, network: Network) -> list[str] | None:  # noqa: ANN401 - an array
    """Return the names of class numbers; None if they are no class numbers of this network."""
    flat = np.asarray(labels).reshape(-1)
    classes = network.classes
    if classes is None or flat.dtype.kind not in "iu" or flat.size == 0 or flat.min() < 0 or flat.max() >= len(classes):
        return None
    return [classes[int(label)] for label in flat]


def _checked(array: Any, one: Input, path: Path) -> Any:  # noqa: ANN401 - arrays
    """Return the array in the input's own type.

    Raises:
        CommandError: Its type or shape differs.
    """
    if one.dtype in ("object", "str", "string"):
        return np.asarray(array, object)
    wanted = np.dtype(one.dtype)
    if array.dtype.kind not in _SAME_KIND.get(wanted.kind, wanted.kind):
        raise CommandError(
            f"{path.name} has {array.dtype} for input {one.name}, and the network was trained on {one.dtype}.",
            "Give the values as they were in training: the same number means something else in another type.",
        )
    array = _with_batch(array, one, path)
    converted = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(converted, array):
        raise CommandError(f"{path.name} has numbers for input {one.name} that {one.dtype} cannot hold.")
    return converted


def _check_values(array: Any, one: Input, path: Path, *, any_range: bool) -> None:  # noqa: ANN401 - arrays
    if array.dtype.kind != "f" or not array.size:
        return
    if not np.isfinite(array).all():
        raise CommandError(f"{path.name} has values for input {one.name} that are not finite numbers.")
    if not any_range:
        _check_range(array, one, path)


def _with_batch(array: Any, one: Input, path: Path) -> Any:  # noqa: ANN401 - arrays
    """Return the array with an axis for the examples: a single example may come without it."""
    if array.ndim == len(one.shape) - 1 and one.batch in (None, 1):
        array = array[np.newaxis]
    fits = array.ndim == len(one.shape) and all(
        isinstance(side, str) or side == size for side, size in zip(one.shape[1:], array.shape[1:], strict=False)
    )
    if not fits:
        raise CommandError(
            f"{path.name} has shape {array.shape} for input {one.name}, and the network takes {one.text}."
        )
    if one.batch is not None and len(array) % one.batch:
        raise CommandError(
            f"{path.name} has {len(array)} examples, and the network takes {one.batch} at a time.",
            f"Give a multiple of {one.batch}.",
        )
    return array


def _check_range(array: Any, one: Input, path: Path) -> None:  # noqa: ANN401 - arrays
    low, high = float(array.min()), float(array.max())
    if one.bounds is not None:
        slack = (one.bounds[1] - one.bounds[0]) * _SLACK
        is_outside = low < one.bounds[0] - slack or high > one.bounds[1] + slack
        # Bytes that were divided by 255 lie within 0 to 255 too.
        is_other = is_outside or (one.bounds == _BYTES and 0 < high <= _SMALL)
    else:
        is_other = one.seen is not None and max(-low, high) > _FAR * max(map(abs, one.seen))
    known = one.bounds or one.seen
    if is_other and known is not None:
        raise CommandError(
            f"{path.name} has values from {low:g} to {high:g} for input {one.name}, and those of training were from "
            f"{known[0]:g} to {known[1]:g}.",
            "Scale them as in training, or give --any-range if they are right.",
        )
