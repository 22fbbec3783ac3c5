"""NumPy archives: arrays of examples and labels, under the names that people give them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training_job.atomic_write import DAMAGED_ARRAYS
from training_job.errors import DatasetError
from training_job.trainer.datasets.arrays import Pair
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.split_names import Part

_EXAMPLES = ("x", "data", "features", "images", "inputs", "examples", "samples")
_LABELS = ("y", "target", "targets", "labels", "label", "classes", "t")
_PARTS = {
    "": None,
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "test": Part.TEST,
    "testing": Part.TEST,
} | dict.fromkeys(("val", "valid", "validation", "dev"), Part.VALIDATION)


def read(path: Path) -> dict[Part, Pair]:
    """Return the pairs of examples and labels: the training data, and validation and test data if there is any.

    Raises:
        DatasetError: The file is no archive of arrays, is truncated, contains pickled objects, or lacks an array.
    """
    # Opened here, as NumPy does not close a file that it cannot read.
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except DAMAGED_ARRAYS as error:
            raise DatasetError(f"{path.name} is no .npz archive, or is truncated: write it with numpy.savez") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DatasetError(f"{path.name} is a single array: write x and y with numpy.savez")
        return _pairs(archive, path.name)


def _pairs(archive: Any, source: str) -> dict[Part, Pair]:  # noqa: ANN401 - NumPy has no type for it
    examples, labels = (_by_part(archive.files, words) for words in (_EXAMPLES, _LABELS))
    pairs: dict[Part, Pair] = {}
    for part in Part:
        names = examples.get(part), labels.get(part)
        if names[0] is None or names[1] is None:
            continue
        x, y = (_array(archive, source, name) for name in names if name is not None)
        pairs[part] = Pair(x=x, y=y, names=(names[0], names[1]), source=source)
    if Part.TRAIN not in pairs:
        found = some(sorted(archive.files)) or "nothing"
        raise DatasetError(f"{source} holds {found}: save arrays x and y, or x_train and y_train, with numpy.savez")
    for part in (Part.VALIDATION, Part.TEST):
        if (part in examples) != (part in labels):
            there = (examples if part in examples else labels)[part]
            raise DatasetError(
                f"{source} holds {there} alone: examples and labels go together; save the other array too"
            )
    return pairs


def _by_part(names: list[str], words: tuple[str, ...]) -> Mapping[Part, str]:
    """Return the name of each part's array. An array whose name has no part is the training data, if no other is."""
    found: dict[Part | None, str] = {}
    for word in reversed(words):
        for name in names:
            pieces = [piece for piece in re.split(r"[^a-z0-9]+|(?<=^[xyt])(?=tr|te|va)", name.lower()) if piece]
            rest = [piece for piece in pieces if piece != word]
            if len(rest) < len(pieces) and len(rest) <= 1 and "".join(rest) in _PARTS:
                found[_PARTS["".join(rest)]] = name
    parts = {part: name for part, name in found.items() if part is not None}
    return ({Part.TRAIN: found[None]} if None in found else {}) | parts


def _array(archive: Any, source: str, name: str) -> Any:  # noqa: ANN401 - as above
    try:
        return archive[name]
    except DAMAGED_ARRAYS as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{name!r} of {source} holds pickled Python objects, which are never loaded: save an array of numbers"
            ) from error
        raise DatasetError(f"{name!r} of {source} is damaged or truncated: upload the file again") from error
