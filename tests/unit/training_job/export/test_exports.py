from pathlib import Path

import pytest

from training_job.errors import ExportError
from training_job.export import exports
from training_job.export.exports import ExportedNetwork, Exports, Failure, Source, Tensor


def _exports(state: Path) -> Exports:
    folder = state / exports.FOLDER
    folder.mkdir(parents=True)
    for name in ("model.onnx", "parity.json", "parity.npz"):
        (folder / name).write_bytes(name.encode())
    (state / "model.npz").write_bytes(b"weights")
    network = ExportedNetwork(
        name="model",
        link="MLP",
        method="forward",
        onnx=folder / "model.onnx",
        inputs=(Tensor(name="x", dtype="float32", shape=("N", 784), low=0.0, high=1.0),),
        outputs=(Tensor(name="y", dtype="float32", shape=("N", 10)),),
        parity=folder / "parity.json",
        verified=True,
        sentence="model.onnx gives the same answers as Chainer on 64 inputs (largest difference 1.8e-07).",
        source=Source.of_file(state / "model.npz"),
        metadata={"classes": '["a"]'},
    )
    return Exports((network,), (Failure(link="LSTM", reason="it keeps its state", source=state / "rnn.npz"),))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = _exports(tmp_path)
    exports.write(tmp_path / exports.FOLDER, written)
    assert exports.read(tmp_path) == written


def test_paths_follow_a_folder_that_is_moved(tmp_path: Path) -> None:
    exports.write(tmp_path / "old" / exports.FOLDER, _exports(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    found = exports.read(tmp_path / "new")
    assert found is not None
    assert found.networks[0].onnx == tmp_path / "new" / "export" / "model.onnx"


def test_without_a_document_there_is_nothing(tmp_path: Path) -> None:
    assert exports.read(tmp_path) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    exports.write(tmp_path / exports.FOLDER, _exports(tmp_path))
    (tmp_path / exports.FOLDER / "parity.npz").unlink()
    with pytest.raises(ExportError, match=r"parity\.npz is missing"):
        exports.read(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"networks": [{}], "failures": []}', b"\xff"])
def test_a_damaged_document_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / exports.FOLDER).mkdir()
    (tmp_path / exports.FOLDER / exports.NAME).write_bytes(content)
    with pytest.raises(ExportError, match=r"exports\.json"):
        exports.read(tmp_path)


def test_networks_are_found_by_their_weights(tmp_path: Path) -> None:
    written = _exports(tmp_path)
    assert written.of_file(Source.of_file(tmp_path / "model.npz").sha256) == written.networks
    assert written.of_file("0" * 64) == ()
