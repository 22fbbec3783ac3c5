"""Detects the format of a folder of data, and loads it.

The first match counts: IDX files, one .npz (or train.npz and test.npz), one .csv (or train.csv and test.csv), folders
of pictures (or train/ and test/ with such folders). The data may be in one subfolder. Names that begin with a dot or an
underscore are ignored.
"""

from collections.abc import Callable
from pathlib import Path

from training_job.errors import DatasetError
from training_job.trainer.datasets import csv_table, idx, images, npz
from training_job.trainer.datasets.table import Dataset, Split, Table, check_classes, check_fits, hold_out

_FORMATS = "one .npz with x and y, IDX pairs, one .csv(.gz) with a header, or one folder of pictures for each class"
_IDX = {"train": "train", "test": "t10k"}


def find(data: Path) -> Dataset:
    """Return the data in a folder (or in one file), checked.

    Raises:
        DatasetError: The data is missing, invalid or of an unknown format. The message names the file, row or key.
    """
    if not data.exists():
        raise DatasetError(f"{data} does not exist: give the folder of the data with --data")
    train, test = _read(data)
    check_classes(train)
    return Dataset(train=train, test=None if test is None else check_fits(test, train))


def load(data: Path, *, seed: int = 0) -> Split:
    """Return the data in a folder (or in one file), checked and split.

    If there is no test data, a fifth of each class is held out. The same seed gives the same split.

    Raises:
        DatasetError: See `find`.
    """
    found = find(data)
    if found.test is None:
        return hold_out(found.train, seed=seed)
    return Split(train=found.train, held_out=found.test)


def _read(data: Path) -> tuple[Table, Table | None]:
    files, folders = ([data], []) if data.is_file() else _entries(data)
    for read in (_idx, _archives, _tables):
        found = read(files)
        if found is not None:
            return found
    if len(folders) == 1 and _holds_data(folders[0]):
        return _read(folders[0])  # the folder that an archive was made of
    if folders:
        return _pictures(data, folders)
    listed = ", ".join(path.name for path in files[:5]) or "nothing"
    raise DatasetError(f"the data holds {listed}: {_FORMATS} is expected")


def _holds_data(folder: Path) -> bool:
    files, folders = _entries(folder)
    return bool(folders) or any(path.name.lower().endswith((".npz", ".csv", ".gz", "ubyte")) for path in files)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return [path for path in entries if path.is_file()], [path for path in entries if path.is_dir()]


def _idx(files: list[Path]) -> tuple[Table, Table | None] | None:
    pairs = {}
    for part, prefix in _IDX.items():
        x, y = (_one_of(files, f"{prefix}-{kind}") for kind in ("images", "labels"))
        if (x is None) != (y is None):
            there, missing = (x, "labels") if x else (y, "images")
            raise DatasetError(f"{there.name if there else ''} is there, but no {prefix}-{missing} file beside it")
        if x and y:
            pairs[part] = idx.read(x, y)
    if not pairs:
        return None
    if "train" not in pairs:
        raise DatasetError("there are IDX files to test with and none to train on: add train-images and train-labels")
    return pairs["train"], pairs.get("test")


def _one_of(files: list[Path], start: str) -> Path | None:
    found = [path for path in files if path.name.startswith(start) and "ubyte" in path.name]
    if len(found) > 1:
        raise DatasetError(f"{found[0].name} and {found[1].name} are there: keep one of them")
    return found[0] if found else None


def _archives(files: list[Path]) -> tuple[Table, Table | None] | None:
    def one(path: Path) -> Table:
        return npz.read(path)[0]

    return _files(files, (".npz",), npz.read, one)


def _tables(files: list[Path]) -> tuple[Table, Table | None] | None:
    def both(path: Path) -> tuple[Table, Table | None]:
        return csv_table.read(path), None

    return _files(files, (".csv", ".csv.gz"), both, csv_table.read)


def _files(
    files: list[Path],
    suffixes: tuple[str, ...],
    read_both: Callable[[Path], tuple[Table, Table | None]],
    read_one: Callable[[Path], Table],
) -> tuple[Table, Table | None] | None:
    """Read the only file with a suffix, or the pair of train and test."""
    found = {path.name.lower().partition(".")[0]: path for path in files if path.name.lower().endswith(suffixes)}
    count = sum(path.name.lower().endswith(suffixes) for path in files)
    if not found:
        return None
    if count == 1:
        return read_both(*found.values())
    if count == 2 and set(found) == {"train", "test"}:  # noqa: PLR2004 - a pair
        return read_one(found["train"]), read_one(found["test"])
    raise DatasetError(f"the data holds {count} {suffixes[0]} files: one, or train{suffixes[0]} and test{suffixes[0]}")


def _pictures(data: Path, folders: list[Path]) -> tuple[Table, Table | None]:
    parts = {path.name: path for path in folders}
    if set(parts) != {"train", "test"}:
        return images.read(data, folders), None
    classes = {part: _entries(parts[part])[1] for part in ("train", "test")}
    for part, found in classes.items():
        if not found:
            raise DatasetError(f"{part} holds no folder of pictures: one for each class is expected")
    return images.read(data, classes["train"]), images.read(data, classes["test"])
