"""Raw files, read for a model that is there: as its training data was, by its `input.json`."""

from pathlib import Path

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets import arrays, images, labels, npz, pictures
from training_job.trainer.datasets.inputs import Inputs, Kind
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.table import Table, Unlabelled

_THE_MODEL = "the model"


def read(data: Path, inputs: Inputs) -> Table | Unlabelled:
    """Return the examples of a file (or a folder of pictures), with labels if there are any.

    Raises:
        DatasetError: The data cannot be read, or is not what the model was trained on.
    """
    if not data.exists():
        raise DatasetError(f"{data} does not exist: give the file of the examples with --data")
    if data.suffix.lower() == ".npz":
        return _arrays(data, inputs)
    if inputs.kind is Kind.TABLE:
        return _table(data, inputs)
    if inputs.kind is Kind.PICTURES:
        return _pictures(data, inputs)
    raise DatasetError(f"{data.name}: an .npz with x and y is what this model was trained on")


def _arrays(path: Path, inputs: Inputs) -> Table:
    pair = npz.read(path)[Part.TRAIN]
    x, y = arrays.read(pair, allow_gaps=inputs.kind is Kind.TABLE and inputs.label is None)
    x = arrays.encode(x, inputs)
    if inputs.classes and y.dtype.kind in "iu" and not any(name.isdigit() for name in inputs.classes):
        if not 0 <= y.min() <= y.max() < len(inputs.classes):
            raise DatasetError(
                f"{pair.titles[1]} goes from {y.min()} to {y.max()}: "
                f"the model has {len(inputs.classes)} classes, from 0"
            )
        y = np.array(inputs.classes)[y]  # numbers of named classes
    y = labels.apply(y, inputs.classes, name=pair.titles[1], where=pair.where, known_in=_THE_MODEL)
    return Table(x=x, y=y, source=path.name, classes=inputs.classes, task=inputs.task)


def _table(path: Path, inputs: Inputs) -> Table | Unlabelled:
    from training_job.trainer.datasets.tables import builder, label_column, raw_table  # noqa: PLC0415 - imports pandas

    raw = raw_table.read([path])
    if inputs.label is None or not label_column.has_labels(raw, inputs.label):
        return Unlabelled(x=builder.encode(inputs.columns, raw), source=raw.name)
    raw, _ = label_column.select_labelled(raw, inputs.label)
    y = label_column.read_labels(raw, inputs.label, inputs.classes, _THE_MODEL)
    x = builder.encode(inputs.columns, raw)
    return Table(x=x, y=y, source=raw.name, classes=inputs.classes, task=inputs.task)


def _pictures(data: Path, inputs: Inputs) -> Table | Unlabelled:
    """Read a picture, a folder of pictures, or one of folders that are called as classes."""
    size = pictures.Size(mode=inputs.mode or "RGB", shape=(inputs.shape[0], inputs.shape[1]))
    root = data.parent if data.is_file() else data
    files = images.files_of(data)
    if not files:
        raise DatasetError(f"{data.name} holds no picture: give a picture, or a folder of pictures")
    x = pictures.decode(files, size, root)
    folders = [file.relative_to(root).parts[0] for file in files]
    if not all(name in inputs.classes for name in folders):
        return Unlabelled(x=x, source=data.name)
    y = np.array([inputs.classes.index(name) for name in folders], np.int32)
    return Table(x=x, y=y, source=data.name, classes=inputs.classes, task=inputs.task)
