"""Folders of pictures: one for each class, also within folders named train, val and test."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets import pictures, split_names
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.pictures import SUFFIXES, Size
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.table import Choice, Dataset, Table, Unlabelled
from training_job.trainer.datasets.task import Task

_Classes = dict[str, list[Path]]


def is_any(paths: Iterable[Path]) -> bool:
    """Return whether one of the paths is a picture, or contains one at any depth."""
    return any(True for path in paths for _ in files_of(path))


def files_of(path: Path) -> list[Path]:
    """Return a picture, or the pictures in a folder at any depth, in order; hidden ones are not counted."""
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    return [found for child in sorted(path.iterdir()) if child.name[0] not in "._" for found in files_of(child)]


def build(root: Path, folders: Sequence[Path], choice: Choice) -> Dataset:
    """Return the dataset of class folders, or of folders of a split with class folders.

    Raises:
        DatasetError: A picture cannot be read, a folder contains none, or there is one class only.
    """
    if choice.task is Task.REGRESSION:
        raise DatasetError(
            "--task regression: folders of pictures are classes; give their numbers in a CSV beside them"
        )
    parts = split_names.split(folders)
    is_split = parts.is_split and all(split_names.part_of(folder) for folder in parts.train)
    if not is_split:
        parts = split_names.SplitPaths(train=tuple(folders))
    train = _classes(parts.train, is_split=is_split)
    names = tuple(train)
    if len(names) < 2:  # noqa: PLR2004 - one class cannot be learned
        raise DatasetError(
            f"the data holds one class only ({some(names)}): two folders of pictures at least are needed, one for each "
            "class"
        )
    found = pictures.choose_size([path for files in train.values() for path in files], root)
    note = f"It is a classification: the {len(names)} folders of pictures are the classes ({some(names)})."
    inputs = Inputs(kind=Kind.PICTURES, mode=found.size.mode, shape=found.size.shape)
    table = _table(root, train, names, found.size)
    dataset = Dataset(train=table, inputs=inputs, notes=(note, *found.notes))
    if parts.others:
        text = f"Beside train, val and test, {some([path.name for path in parts.others])} is not used."
        dataset = replace(dataset, notes=(*dataset.notes, text))
    return _with_parts(dataset, root, parts, found.size)


def _with_parts(dataset: Dataset, root: Path, parts: split_names.SplitPaths, size: Size) -> Dataset:
    for part, folders in ((Part.VALIDATION, parts.validation), (Part.TEST, parts.test)):
        if not folders:
            continue
        name = some([folder.name for folder in folders])
        if part is Part.TEST and not any(is_any([child]) for folder in folders for child in _folders(folder)):
            files = [path for folder in folders for path in files_of(folder)]
            if files:
                examples = Unlabelled(x=pictures.decode(files, size, root), source=name)
                text = f"{name} has no folders of classes: what the model predicts for it is in predictions.csv."
                dataset = replace(dataset, unlabelled=examples, notes=(*dataset.notes, text))
                continue
        classes = _classes(folders, is_split=True)
        unknown = [label for label in classes if label not in dataset.train.classes]
        if unknown:
            raise DatasetError(
                f"{name} has class {some(unknown)}, which the training data does not have "
                f"({some(dataset.train.classes)}): rename the folder, or add pictures of it to train"
            )
        table = replace(_table(root, classes, dataset.train.classes, size), source=name)
        dataset = dataset.with_part(part, table, f"{name} is the {part} data: {len(table)} pictures.")
    return dataset


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] not in "._"]


def _classes(folders: Sequence[Path], *, is_split: bool) -> _Classes:
    """Return the pictures of each class."""
    found: _Classes = {}
    for folder in (child for part in folders for child in (_folders(part) if is_split else [part])):
        files = files_of(folder)
        if not files:
            raise DatasetError(f"folder {folder.name} holds no picture: add some, or remove the folder")
        found.setdefault(folder.name, []).extend(files)
    if not found:
        names = some([folder.name for folder in folders])
        raise DatasetError(f"{names} holds no folder of pictures: one for each class is expected")
    return dict(sorted(found.items()))


def _table(root: Path, classes: _Classes, names: tuple[str, ...], size: Size) -> Table:
    files = [path for found in classes.values() for path in found]
    y = [names.index(name) for name, found in classes.items() for _ in found]
    return Table(
        x=pictures.decode(files, size, root),
        y=np.array(y, np.int32),
        source=root.name or "the data",
        classes=names,
    )
