import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.training_job.launcher.results.ended_scripts import EndedScript, archive
from tests.unit.training_job.package.exported import network
from training_job.export import exports
from training_job.export.exports import ExportedNetwork, Exports, Failure
from training_job.launcher.run_log import Records
from training_job.package import exported
from training_job.package.exported import ModelExport

FAILED = Failure(link="LSTM", reason="ONNX needs its state", source=Path("/job/lstm.npz"))
SENTENCE = "LSTM could not be exported as ONNX: ONNX needs its state."


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EndedScript:
    monkeypatch.delenv("KEDJA_EXPORT", raising=False)
    ended = EndedScript.begin(tmp_path)
    ended.write("outputs/model.npz", archive({"fc/W.npy": b"weights"}))
    return ended


def read(
    script: EndedScript, *networks: ExportedNetwork, failures: Sequence[Failure] = (), model: str = "model.npz"
) -> tuple[ModelExport, list[str]]:
    folder = script.job.state / exports.FOLDER
    folder.mkdir(exist_ok=True)
    exports.write(folder, Exports(networks, tuple(failures)))
    records = Records()
    return exported.read(script.job, records, model), records.notes


def own(script: EndedScript, name: str = "model", *, verified: bool = True) -> ExportedNetwork:
    return network(script.job, script.job.outputs / "model.npz", name, verified=verified)


def test_the_networks_with_the_models_weights_are_its_own(script: EndedScript) -> None:
    other = network(script.job, script.write("other.npz", archive({"fc/W.npy": b"WEIGHTS"})), "other")
    found, notes = read(script, other, own(script), failures=[FAILED])
    assert [one.name for one in found.exports.networks] == ["model"]
    assert found.exports.failures == ()
    assert notes == ["model.onnx gives the answers of Chainer."]


def test_the_model_of_a_snapshot_is_the_one_that_was_exported_from_it(script: EndedScript) -> None:
    arrays = {"updater/model:main/fc/W.npy": b"weights", "updater/optimizer:main/t.npy": b"1"}
    found, _ = read(script, network(script.job, script.write("result/snapshot_iter_4", archive(arrays))))
    assert len(found.exports.networks) == 1


def test_a_snapshot_with_other_weights_is_not_the_models(script: EndedScript) -> None:
    later = archive({"updater/model:main/fc/W.npy": b"WEIGHTS"})
    found, notes = read(script, network(script.job, script.write("result/snapshot_iter_5", later)))
    assert (found.exports.networks, notes) == ((), [])


def test_what_failed_is_told_if_nothing_of_the_model_was_exported(script: EndedScript) -> None:
    found, notes = read(script, failures=[FAILED])
    assert found.exports.failures == (FAILED,)
    assert notes == [SENTENCE]


def test_never_means_nothing(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_EXPORT", '{"onnx": "never"}')
    found, notes = read(script, own(script))
    assert (found.exports, found.lack, notes) == (Exports(), None, [])


def test_a_damaged_document_is_a_note(script: EndedScript) -> None:
    (script.job.state / exports.FOLDER).mkdir()
    (script.job.state / exports.FOLDER / exports.NAME).write_text("{")
    records = Records()
    assert exported.read(script.job, records, "model.npz").lack is None
    assert records.notes[0].startswith("The model could not be exported as ONNX: ")


def test_a_required_export_is_missed(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_EXPORT", json.dumps({"onnx": "required"}))
    assert read(script, own(script))[0].lack is None
    assert read(script)[0].lack == "job.yaml requires an export as ONNX, and the script's process made none"
    assert SENTENCE in str(read(script, failures=[FAILED])[0].lack)
    unverified = read(script, own(script), own(script, "bad", verified=False))[0].lack
    assert unverified == "job.yaml requires an export as ONNX: bad.onnx does not give the answers of Chainer."
    (script.job.state / exports.FOLDER / exports.NAME).write_text("{")
    assert "exports.json cannot be read" in str(exported.read(script.job, Records(), "model.npz").lack)


def test_without_a_model_nothing_is_required(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_EXPORT", json.dumps({"onnx": "required"}))
    assert exported.read(script.job, Records(), None) == ModelExport()
