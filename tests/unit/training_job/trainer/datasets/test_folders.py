"""Folders of data as people drop them: each is understood, or refused in words that say what to change."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training_job.trainer.datasets.folders import UNDERSTOOD, Folder
from tests.unit.training_job.trainer.datasets.refused import REFUSED
from training_job.errors import DatasetError
from training_job.trainer.datasets.finder import find
from training_job.trainer.datasets.table import Choice, Dataset
from training_job.trainer.datasets.task import Task


def load(folder: Folder, root: Path) -> Dataset:
    for name, content in folder.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options: Mapping[str, str] = folder.options or {}
    task = Task(options["task"]) if "task" in options else None
    return find(root, Choice(label=options.get("label"), task=task))


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_folder_is_understood(tmp_path: Path, name: str) -> None:
    folder = UNDERSTOOD[name]
    dataset = load(folder, tmp_path)
    notes = " ".join(dataset.notes)
    assert [phrase for phrase in folder.says if phrase not in notes] == [], notes
    assert all(len(note) <= 500 and note[-1] in ".)" for note in dataset.notes)
    train = dataset.train
    assert folder.shape in (None, train.x.shape)
    assert folder.classes in (None, train.classes)
    assert (train.task is Task.CLASSIFICATION) == bool(train.classes)
    assert train.y.dtype == (np.int32 if train.classes else np.float32)
    assert np.isfinite(train.x).all()
    for part in (dataset.validation, dataset.test, dataset.unlabelled):
        assert part is None or part.x.shape[1:] == train.x.shape[1:]


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_folder_is_refused_in_words(tmp_path: Path, name: str) -> None:
    folder = REFUSED[name]
    with pytest.raises(DatasetError) as raised:
        load(folder, tmp_path)
    text = str(raised.value)
    assert [phrase for phrase in folder.says if phrase not in text] == [], text
    assert "\n" not in text
    assert str(tmp_path) not in text
