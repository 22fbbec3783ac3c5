import zipfile
from pathlib import Path

import chainer
import numpy as np
import pytest
from chainer import links, optimizers, serializers, training

from tests.unit.training_job.launcher.results.ended_scripts import archive
from training_job.launcher.results import trainer_snapshot


class Net(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
    def __init__(self, size: int | None) -> None:
        super().__init__(fc=links.Linear(size, 2), norm=links.BatchNormalization(2))


def save_snapshot(path: Path, **models: chainer.Link) -> None:
    updater = training.StandardUpdater(
        chainer.iterators.SerialIterator([1, 2], 1),
        {name: optimizers.Adam().setup(model) for name, model in models.items()},
    )
    trainer = training.Trainer(updater, lambda _: True, out=str(path.parent))
    trainer.run()
    serializers.save_npz(str(path), trainer)


def test_a_model_has_the_keys_and_values_that_save_npz_writes(tmp_path: Path) -> None:
    model = links.Classifier(Net(3))
    save_snapshot(tmp_path / "snap", main=model)
    (file,) = trainer_snapshot.take_apart(tmp_path / "snap", tmp_path / "snap")
    assert file == tmp_path / "snap-model.npz"
    serializers.save_npz(str(tmp_path / "expected.npz"), model)
    with np.load(tmp_path / "expected.npz") as expected, np.load(file) as found:
        assert sorted(found) == sorted(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    other = links.Classifier(Net(3))
    serializers.load_npz(str(file), other)
    assert np.array_equal(other.predictor.fc.W.array, model.predictor.fc.W.array)


def test_parameters_without_a_shape_yet_are_kept_as_they_are(tmp_path: Path) -> None:
    """They are pickled in the snapshot: nothing of it is unpickled here."""
    save_snapshot(tmp_path / "snap", main=Net(None))
    (file,) = trainer_snapshot.take_apart(tmp_path / "snap", tmp_path / "snap")
    serializers.load_npz(str(file), Net(None))


def test_several_models_become_a_folder(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "snap", gen=Net(3), dis=Net(4))
    files = trainer_snapshot.take_apart(tmp_path / "snap", tmp_path / "out")
    assert sorted(files) == [tmp_path / "out-model/dis.npz", tmp_path / "out-model/gen.npz"]
    generator = Net(3)
    serializers.load_npz(str(tmp_path / "out-model/gen.npz"), generator)


def test_an_updaters_state_has_its_models_too(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(archive({"model:main/fc/W.npy": b"w", "iteration.npy": b"1"}))
    (file,) = trainer_snapshot.take_apart(tmp_path / "state", tmp_path / "state")
    assert zipfile.ZipFile(file).namelist() == ["fc/W.npy"]


@pytest.mark.parametrize(
    "content", [b"", b"text", archive({"updater/iteration.npy": b"1"})], ids=["empty", "no archive", "no model"]
)
def test_without_a_model_there_is_no_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "snap").write_bytes(content)
    assert trainer_snapshot.take_apart(tmp_path / "snap", tmp_path / "snap") == []
    assert [path.name for path in tmp_path.iterdir()] == ["snap"]


def test_no_name_in_a_snapshot_leads_out_of_the_folder(tmp_path: Path) -> None:
    names = {"updater/model:../a.npy": b"", "updater/model:..\\b/W.npy": b"", "updater/model:c d/../../W.npy": b"w"}
    (tmp_path / "snap").write_bytes(archive(names))
    files = trainer_snapshot.take_apart(tmp_path / "snap", tmp_path / "sub/snap")
    assert {file.parent for file in files} == {tmp_path / "sub/snap-model"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snap", "sub"]
