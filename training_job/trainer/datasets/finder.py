"""Detects the format of a folder of data, and loads it.

The first match counts: IDX files, .npz archives, tables, folders of pictures. The data may be in one subfolder. Files
and folders whose names begin (or end) with train, val or test are the user's own split. Names that begin with a dot or
an underscore are ignored.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training_job.errors import DatasetError
from training_job.trainer.datasets import arrays, idx, images, npz, split_names
from training_job.trainer.datasets.arrays import Pair
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.pictures import SUFFIXES
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.table import Choice, Dataset, Split, hold_out, without_lone_classes
from training_job.trainer.datasets.task import Task

_FORMATS = (
    "a table (.csv, .tsv or .parquet, with a column of labels), an .npz with x and y, pairs of IDX files, or a folder "
    "of pictures for each class"
)
_IDX = {Part.TRAIN: "train", Part.TEST: "t10k"}
_TABLES = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
_MAYBE_TABLES = (".data", ".dat", ".txt", ".txt.gz")
_HINTS = {
    ".xlsx": "save the sheet as CSV", ".xls": "save the sheet as CSV", ".ods": "save the sheet as CSV",
    ".json": "save it as CSV", ".jsonl": "save it as CSV", ".mat": "save its arrays with numpy.savez",
    ".npy": "save x and y in one file with numpy.savez", ".h5": "save its arrays with numpy.savez",
    ".hdf5": "save its arrays with numpy.savez", ".pkl": "pickles are never loaded: save arrays with numpy.savez",
    ".pickle": "pickles are never loaded: save arrays with numpy.savez",
}  # fmt: skip
_DEFAULT = Choice()


def find(data: Path, choice: Choice = _DEFAULT) -> Dataset:
    """Return the data in a folder (or in one file), checked.

    Raises:
        DatasetError: The data is missing, invalid or of an unknown format. The message names the file, row or key, and
            what to change.
    """
    if not data.exists():
        raise DatasetError(f"{data} does not exist: give the folder of the data with --data")
    dataset = without_lone_classes(_read(data, choice))
    train = dataset.train
    return replace(dataset, inputs=replace(dataset.inputs, task=train.task, classes=train.classes))


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


def _read(data: Path, choice: Choice) -> Dataset:
    files, folders = ([data], []) if data.is_file() else _entries(data)
    for read in (_idx, _archives, _pictures_and_list, _tables):
        found = read(files, folders, choice)
        if found is not None:
            return found
    if len(folders) == 1 and _holds_data(folders[0]):
        return _read(folders[0], choice)  # the folder that an archive was made of
    if folders and images.is_any(folders):
        return images.build(data, folders, choice)
    raise DatasetError(_unknown([*files, *folders]))


def _unknown(entries: Sequence[Path]) -> str:
    listed = some([path.name for path in entries]) or "nothing"
    hint = next((_HINTS[path.suffix.lower()] for path in entries if path.suffix.lower() in _HINTS), None)
    if hint is None and any(path.suffix.lower() in SUFFIXES for path in entries):
        hint = "put the pictures into a folder for each class, or beside a CSV of file names and labels"
    return f"the data holds {listed}: {hint or f'{_FORMATS} is expected'}"


def _holds_data(folder: Path) -> bool:
    files, folders = _entries(folder)
    suffixes = (".npz", ".gz", "ubyte", *_TABLES, *_MAYBE_TABLES)
    return bool(folders) or any(path.name.lower().endswith(suffixes) for path in files)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return [path for path in entries if path.is_file()], [path for path in entries if path.is_dir()]


def _idx(files: list[Path], _: list[Path], choice: Choice) -> Dataset | None:
    pairs: dict[Part, Pair] = {}
    for part, prefix in _IDX.items():
        x, y = (_one_of(files, f"{prefix}-{kind}") for kind in ("images", "labels"))
        if (x is None) != (y is None):
            there, missing = (x, "labels") if x else (y, "images")
            raise DatasetError(
                f"{there.name if there else ''} is there, but no {prefix}-{missing} file beside it: add that file"
            )
        if x and y:
            pairs[part] = idx.read(x, y)
    if not pairs:
        return None
    if Part.TRAIN not in pairs:
        raise DatasetError("there are IDX files to test with, but none to train on: add train-images and train-labels")
    if choice.task is None:
        choice = replace(choice, task=Task.CLASSIFICATION)  # what the format is for, however few pictures there are
    return arrays.build(pairs[Part.TRAIN], choice, test=pairs.get(Part.TEST))


def _one_of(files: list[Path], prefix: str) -> Path | None:
    found = [path for path in files if path.name.startswith(prefix)]
    if len(found) > 1:
        raise DatasetError(f"{found[0].name} and {found[1].name} are there: remove one")
    return found[0] if found else None


def _archives(files: list[Path], _: list[Path], choice: Choice) -> Dataset | None:
    found = split_names.split(path for path in files if path.name.lower().endswith(".npz"))
    if not found.train:
        return None
    parts = {Part.TRAIN: found.train, Part.VALIDATION: found.validation, Part.TEST: found.test}
    for part, paths in parts.items():
        if len(paths) > 1:
            raise DatasetError(
                f"the data holds {len(paths)} .npz files for {part} ({some([path.name for path in paths])}): keep "
                "one, or call them train.npz, val.npz and test.npz"
            )
    pairs = npz.read(found.train[0])
    for part in (Part.VALIDATION, Part.TEST):
        if parts[part]:
            pairs[part] = npz.read(parts[part][0])[Part.TRAIN]
    return arrays.build(pairs[Part.TRAIN], choice, validation=pairs.get(Part.VALIDATION), test=pairs.get(Part.TEST))


def _table_files(files: list[Path]) -> list[Path]:
    found = [path for path in files if path.name.lower().endswith(_TABLES)]
    if found:
        return found
    maybe = [path for path in files if path.name.lower().endswith(_MAYBE_TABLES)]
    return [path for path in maybe if not path.name.lower().startswith(("readme", "license", "licence"))]


def _pictures_and_list(files: list[Path], folders: list[Path], choice: Choice) -> Dataset | None:
    """Read pictures whose labels are in tables beside them."""
    tables = _table_files(files)
    root = tables[0].parent if tables else None
    if root is None or not images.is_any([*files, *folders]):
        return None
    from training_job.trainer.datasets.tables import picture_list  # noqa: PLC0415 - imports pandas: only if needed

    return picture_list.build(root, split_names.split(tables), choice)


def _tables(files: list[Path], _: list[Path], choice: Choice) -> Dataset | None:
    found = _table_files(files)
    if not found:
        return None
    from training_job.trainer.datasets.tables import builder  # noqa: PLC0415 - imports pandas: only if needed

    return builder.build(split_names.split(found), choice)
