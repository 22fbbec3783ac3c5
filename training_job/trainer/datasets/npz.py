"""NumPy archives: arrays `x` and `y` (or Keras' `x_train`, `y_train`), and optionally `x_test` and `y_test`."""

from pathlib import Path
from typing import Any

import numpy as np

from training_job.atomic_write import DAMAGED_ARRAYS
from training_job.errors import DatasetError
from training_job.trainer.datasets.table import Table, make_table

_TRAIN = (("x", "y"), ("x_train", "y_train"))
_TEST = ("x_test", "y_test")


def read(path: Path) -> tuple[Table, Table | None]:
    """Return training data and test data, or None if there is no test data.

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
        return _tables(archive, path.name)


def _tables(archive: Any, source: str) -> tuple[Table, Table | None]:  # noqa: ANN401 - NumPy has no type for it
    names = next((pair for pair in _TRAIN if set(pair) <= set(archive.files)), None)
    if names is None:
        found = ", ".join(sorted(archive.files)) or "nothing"
        raise DatasetError(f"{source} holds {found}: arrays x and y are expected")
    train = _table(archive, source, names)
    present = [name for name in _TEST if name in archive.files]
    if len(present) == 1:
        raise DatasetError(f"{source} holds {present[0]} alone: x_test and y_test go together")
    return train, _table(archive, source, _TEST) if present else None


def _table(archive: Any, source: str, names: tuple[str, str]) -> Table:  # noqa: ANN401 - as above
    return make_table(*(_array(archive, source, name) for name in names), source=source, names=names)


def _array(archive: Any, source: str, name: str) -> Any:  # noqa: ANN401 - as above
    try:
        return archive[name]
    except DAMAGED_ARRAYS as error:
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{name!r} of {source} holds pickled Python objects, which are never loaded: save an array of numbers"
            ) from error
        raise DatasetError(f"{name!r} of {source} is damaged or truncated: upload the file again") from error
