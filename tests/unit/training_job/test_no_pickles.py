"""Pickles are never loaded: hostile ones in every file of arrays that is read do not run."""

import ast
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import training_job
from training_job import checkpoints
from training_job.errors import DatasetError, ModelError, TrainingJobError
from training_job.hooks import dataset_hooks
from training_job.trainer import model_file
from training_job.trainer.datasets.finder import load

SOURCES = sorted(Path(training_job.__file__).parent.rglob("*.py"))
LOADERS = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}


class Hostile:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "the pickle ran"


def npy(trace: Path) -> bytes:
    """Return a .npy whose only element is hostile."""
    stream = io.BytesIO()
    np.save(stream, np.array([Hostile(trace)], dtype=object), allow_pickle=True)
    return stream.getvalue()


def npz(trace: Path, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.npy", npy(trace))
    return stream.getvalue()


def test_what_is_planted_does_harm_where_pickles_are_loaded(trace: Path) -> None:
    np.load(io.BytesIO(npy(trace)), allow_pickle=True)
    assert trace.exists()


DATASETS: dict[str, Callable[[Path], bytes]] = {
    "an object array": lambda trace: npz(trace, "x", "y"),
    "a single array": npy,
    "a bare pickle": lambda trace: pickle.dumps(Hostile(trace)),
    "a pickle in the archive": lambda trace: zipped({"x.npy": pickle.dumps(Hostile(trace)), "y.npy": npy(trace)}),
    "a header that is a call": lambda trace: zipped({"x.npy": evil_header(trace), "y.npy": evil_header(trace)}),
}


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def evil_header(trace: Path) -> bytes:
    """Return a .npy whose header is an expression, where a dict of literals belongs."""
    header = f"__import__('pathlib').Path({str(trace)!r}).touch()\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize("kind", DATASETS)
def test_in_a_dataset(tmp_path: Path, trace: Path, kind: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.npz").write_bytes(DATASETS[kind](trace))
    with pytest.raises(DatasetError):
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize("kind", DATASETS)
def test_in_a_checkpoint(tmp_path: Path, trace: Path, kind: str) -> None:
    folder = tmp_path / "loop-0"
    store = checkpoints.Store(folder)
    store.save(checkpoints.Checkpoint(iteration=1, arrays={"w": np.ones(2)}, notes={}))
    (folder / "checkpoint-000000000002.npz").write_bytes(DATASETS[kind](trace))
    assert [checkpoint.iteration for checkpoint in store.newest_first()] == [1]
    assert not trace.exists()


def test_in_the_notes_of_a_checkpoint(tmp_path: Path, trace: Path) -> None:
    folder = tmp_path / "loop-0"
    folder.mkdir()
    notes = io.BytesIO()
    np.save(notes, np.frombuffer(json.dumps({"nones": []}).encode(), np.uint8))
    content = zipped({"state/w.npy": npy(trace), "notes.npy": notes.getvalue()})
    (folder / "checkpoint-000000000001.npz").write_bytes(content)
    assert list(checkpoints.Store(folder).newest_first()) == []
    assert not trace.exists()


@pytest.mark.parametrize("kind", DATASETS)
def test_in_a_models_weights(tmp_path: Path, trace: Path, kind: str) -> None:
    weights = tmp_path / "model.npz"
    weights.write_bytes(DATASETS[kind](trace))
    with pytest.raises(ModelError):
        model_file.load_weights(weights, object())
    assert not trace.exists()


@pytest.mark.parametrize("wrap", [lambda harm: harm, lambda harm: {"data": harm}, lambda harm: [{1: (harm,)}]])
def test_in_a_batch_of_cifar(tmp_path: Path, trace: Path, wrap: Callable[[object], object]) -> None:
    """Their published form is a pickle: it is read by a reader that knows arrays and nothing else."""
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(wrap(Hostile(trace)), protocol=2))
    with pytest.raises(TrainingJobError, match="is no batch of CIFAR"):
        dataset_hooks._load(path)
    assert not trace.exists()


def test_numpy_is_told_each_time_and_few_modules_read_pickles() -> None:
    unpicklers = []
    for source in SOURCES:
        if "compat" in source.parts:  # calls Chainer's own as scripts would; nothing of it is called by this package
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                told = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert told.get("allow_pickle") == "False", f"{source.name}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [alias.name for alias in node.names] + [getattr(node, "module", None)]
                unpicklers += [source.name for module in modules if module in LOADERS]
    # weights.py reads what the script's own process has just pickled.
    assert sorted(unpicklers) == ["dataset_hooks.py", "weights.py"]
    assert len(SOURCES) > 40
