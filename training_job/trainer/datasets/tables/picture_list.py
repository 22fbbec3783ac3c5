"""Pictures with their labels in a table: a column of file names, and one of labels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets import images, labels, pictures
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.split_names import Part, SplitPaths
from training_job.trainer.datasets.table import Choice, Dataset, Table, Unlabelled
from training_job.trainer.datasets.tables import label_column, raw_table
from training_job.trainer.datasets.tables.columns import as_texts
from training_job.trainer.datasets.tables.raw_table import RawTable

_MOSTLY = 0.5


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """A table of pictures: the file of each row."""

    raw: RawTable
    column: str
    files: tuple[Path, ...]


def build(root: Path, paths: SplitPaths, choice: Choice) -> Dataset | None:
    """Return the dataset of the pictures that a table lists, or None if it lists none.

    Raises:
        DatasetError: A listed picture is missing or cannot be read, or the labels cannot be learned.
    """
    index = _index(root)
    listed = _listed(raw_table.read(paths.train), index)
    if listed is None:
        return None
    names = [str(name) for name in listed.raw.frame.columns if name != listed.column]
    if not names:
        raise DatasetError(f"{listed.raw.name} lists pictures and no labels: add a column of labels")
    label, _ = label_column.choose(listed.raw, names, choice)
    count = len(listed.files)
    listed = _labelled(listed, label)
    raw = listed.raw
    found = labels.understand(raw.frame[label].to_numpy(), name=f"column {label!r}", where=raw.where, task=choice.task)
    size = pictures.choose_size(listed.files, root)
    x = pictures.decode(listed.files, size.size, root)
    notes = [f"{raw.name} lists pictures in column {listed.column!r}, with their labels in column {label!r}."]
    notes += [found.note, *size.notes]
    if count > len(x):
        notes.append(f"{count - len(x)} rows without a label are left out.")
    dataset = Dataset(
        train=Table(x=x, y=found.y, source=raw.name, classes=found.classes, task=found.task),
        inputs=Inputs(kind=Kind.PICTURES, mode=size.size.mode, shape=size.size.shape),
        notes=tuple(notes),
    )
    for part, files in ((Part.VALIDATION, paths.validation), (Part.TEST, paths.test)):
        if files:
            dataset = _with_part(dataset, part, _required(raw_table.read(files), index), label, size.size, root)
    return dataset


def _with_part(dataset: Dataset, part: Part, listed: _Listed, label: str, size: pictures.Size, root: Path) -> Dataset:
    raw = listed.raw
    if part is Part.TEST and not label_column.has_labels(raw, label):
        note = f"{raw.name} has no labels in a column {label!r}: what the model predicts for it is in predictions.csv."
        examples = Unlabelled(x=pictures.decode(listed.files, size, root), source=raw.name)
        return replace(dataset, unlabelled=examples, notes=(*dataset.notes, note))
    if label not in raw.frame.columns:
        raise DatasetError(f"{raw.name} lacks the label, column {label!r}: add it")
    listed = _labelled(listed, label)
    y = label_column.read_labels(listed.raw, label, dataset.train.classes, dataset.train.source)
    table = replace(dataset.train, x=pictures.decode(listed.files, size, root), y=y, source=raw.name)
    return dataset.with_part(part, table, f"{raw.name} is the {part} data: {len(y)} pictures.")


def _labelled(listed: _Listed, label: str) -> _Listed:
    raw, is_there = label_column.select_labelled(listed.raw, label)
    return replace(listed, raw=raw, files=tuple(listed.files[row] for row in np.flatnonzero(is_there)))


def _index(root: Path) -> dict[str, Path]:
    """Return the pictures below a folder by each name that a table may give them; an ambiguous one is left out."""
    found: dict[str, Path] = {}
    ambiguous: set[str] = set()
    for path in (
        child for entry in sorted(root.iterdir()) if entry.name[0] not in "._" for child in images.files_of(entry)
    ):
        relative = path.relative_to(root)
        names = {relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem}
        for name in names:
            if name in found and found[name] != path:
                ambiguous.add(name)
            found[name] = path
    return {name: path for name, path in found.items() if name not in ambiguous}


def _listed(raw: RawTable, index: dict[str, Path]) -> _Listed | None:
    """Return the pictures of the column that names most of them."""
    for name in raw.frame.columns:
        texts = as_texts(raw.frame[name])
        files = [index.get(text.removeprefix("./")) for text in texts]
        known = [file for file in files if file is not None]
        if len(known) <= _MOSTLY * len(files):
            continue
        if len(known) < len(files):
            row = files.index(None)
            raise DatasetError(
                f"{raw.where(row)} names the picture {texts[row]!r} in column {name!r}, and there is no such file: add "
                "it, or remove the line"
            )
        return _Listed(raw=raw, column=str(name), files=tuple(known))
    return None


def _required(raw: RawTable, index: dict[str, Path]) -> _Listed:
    listed = _listed(raw, index)
    if listed is None:
        raise DatasetError(f"{raw.name} has no column of names of pictures: add one, as in the training data")
    return listed
