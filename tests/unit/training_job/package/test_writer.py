import hashlib
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.unit.training_job.launcher.results.ended_scripts import EndedScript, archive
from tests.unit.training_job.package.exported import COLUMNS, PICTURES, TABLE, network
from training_job.export.exports import ExportedNetwork, Exports, Failure, Tensor
from training_job.export.options import Onnx, Options
from training_job.launcher.results import collection
from training_job.launcher.results.gathering import FoundModel
from training_job.launcher.run_log import Records
from training_job.package import writer
from training_job.tracking.client import Metric

WHY = "The model is outputs/model.npz: the script wrote it."


@pytest.fixture
def script(tmp_path: Path) -> EndedScript:
    ended = EndedScript.begin(tmp_path)
    ended.save("outputs/model.npz", content=archive({"fc/W.npy": b"weights"}))
    snapshot = {"experiment": "digits", "drop": "ab" * 32, "data": [{"name": "a", "size": 10}], "scripts": []}
    ended.job.snapshot.mkdir()
    (ended.job.snapshot / "manifest.json").write_text(json.dumps(snapshot))
    return ended


def packaged(
    script: EndedScript,
    *networks: ExportedNetwork,
    model: str = "model.npz",
    failures: tuple[Failure, ...] = (),
    options: Options | None = None,
) -> tuple[FoundModel, Records]:
    metric = Metric(name="accuracy", value=0.975, step=1, time=0)
    records = Records(metrics=[metric], notes=["A note of the job."], saved=deque(script.saved))
    found = FoundModel(model, WHY)
    return writer.write(script.job, Exports(networks, failures), found, records, options or Options()), records


def mlmodel(script: EndedScript) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((script.job.outputs / "package/MLmodel").read_text())
    return found


def input_document(script: EndedScript) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((script.job.outputs / "package/input.json").read_text())
    return found


def card(script: EndedScript) -> str:
    return (script.job.outputs / "package/MODEL_CARD.md").read_text()


def test_an_exported_network_is_packaged_with_its_weights_and_evidence(script: EndedScript) -> None:
    arrays: dict[str, object] = {"x": np.arange(12, dtype="f").reshape(4, 3)}
    model, _ = packaged(script, network(script.job, script.job.outputs / "model.npz", arrays=arrays))
    assert model.path == "package"
    assert model.reason == f"{WHY} It is registered as folder outputs/package, with its ONNX network model.onnx."
    assert [name.removeprefix("package/") for name in script.outputs if name.startswith("package/")] == [
        "MLmodel",
        "MODEL_CARD.md",
        "conda.yaml",
        "input.json",
        "input_example.json",
        "model-parity.json",
        "model-parity.npz",
        "model.onnx",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
        "weights/model.npz",
    ]
    assert (script.job.outputs / "package/model.onnx").read_bytes() == b"onnx of model"
    assert (script.job.outputs / "package/weights/model.npz").samefile(script.job.outputs / "model.npz")
    assert json.loads((script.job.outputs / "package/input_example.json").read_text()) == [[0, 1, 2], [3, 4, 5]]


def test_the_description_is_mlflows(script: EndedScript) -> None:
    packaged(script, network(script.job, script.job.outputs / "model.npz"))
    found = mlmodel(script)
    assert found["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert found["flavors"]["python_function"]["data"] == found["flavors"]["onnx"]["data"] == "model.onnx"
    assert json.loads(found["signature"]["inputs"]) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}
    ]
    assert json.loads(found["signature"]["outputs"])[0]["name"] == "y"
    assert "saved_input_example_info" not in found  # the comparison has no arrays
    assert len(found["model_uuid"]) == 32


def test_the_environment_has_neither_chainer_nor_pandas_3(script: EndedScript) -> None:
    packaged(script, network(script.job, script.job.outputs / "model.npz"))
    lines = (script.job.outputs / "package/requirements.txt").read_text().splitlines()
    names = {line.partition("=")[0].partition(">")[0].partition("[")[0] for line in lines}
    assert names == {
        "mlflow",
        "numpy",
        "onnxruntime",
        "pandas",
        "azureml-ai-monitoring",
        "azureml-inference-server-http",
        "inference-schema",
    }
    assert next(line for line in lines if line.startswith("pandas")).startswith(("pandas==2.", "pandas>=2,<3"))
    conda = yaml.safe_load((script.job.outputs / "package/conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": lines}


def test_a_table_has_a_column_for_each_input(script: EndedScript) -> None:
    table = network(
        script.job,
        script.job.outputs / "model.npz",
        inputs=COLUMNS,
        outputs=(
            Tensor(name="label", dtype="object", shape=("N",)),
            Tensor(name="p_no", dtype="float32", shape=("N",)),
        ),
        arrays={"age": np.array([1, 2], "f"), "city": np.array(["Bern", "Rom"])},
        metadata={"kedja_scorer": json.dumps(TABLE)},
    )
    packaged(script, table)
    found = mlmodel(script)
    assert json.loads(found["signature"]["inputs"]) == [
        {"type": "double", "name": "age", "required": True},
        {"type": "string", "name": "city", "required": True},
    ]
    assert [one["type"] for one in json.loads(found["signature"]["outputs"])] == ["string", "float"]
    assert found["saved_input_example_info"]["pandas_orient"] == "split"
    example = json.loads((script.job.outputs / "package/serving_input_example.json").read_text())
    assert example == {"dataframe_split": {"columns": ["age", "city"], "data": [[1.0, "Bern"], [2.0, "Rom"]]}}
    (known,) = input_document(script)["networks"]
    assert {key: known[key] for key in TABLE} == TABLE


def test_the_input_says_what_was_seen_and_what_is_usual(script: EndedScript) -> None:
    inputs = (
        Tensor(name="unit", dtype="float32", shape=("N", 2), low=0.0, high=0.9),
        Tensor(name="signed", dtype="float32", shape=("N", 2), low=-0.5, high=1.0),
        Tensor(name="bytes", dtype="float32", shape=("N", 2), low=0.0, high=254.0),
        Tensor(name="small", dtype="float32", shape=("N", 2), low=0.0, high=2.5),
        Tensor(name="free", dtype="float32", shape=("N", 2), low=-0.5, high=9.0),
        Tensor(name="ids", dtype="int32", shape=("N", 2), low=0.0, high=1.0),
    )
    packaged(script, network(script.job, script.job.outputs / "model.npz", inputs=inputs))
    (known,) = input_document(script)["networks"]
    assert [one["bounds"] for one in known["inputs"]] == [[0, 1], [-1, 1], [0, 255], None, None, None]
    assert known["inputs"][0]["seen"] == [0.0, 0.9]
    assert known["kind"] == "array"


OF_TRAINER = {"dtype": "uint8", "range": "[0, 255]", "classes": '["cat", "dog"]'}


def test_pictures_of_the_built_in_trainer_are_described(script: EndedScript) -> None:
    data = {"version": 1, "kind": "pictures", "task": "classification", "mode": "L", "height": 4, "width": 3}
    script.write("outputs/input.json", json.dumps({**data, "classes": ["cat", "dog"]}).encode())
    packaged(script, network(script.job, script.job.outputs / "model.npz", inputs=PICTURES, metadata=OF_TRAINER))
    (known,) = input_document(script)["networks"]
    assert known["kind"] == "picture"
    assert known["picture"] == {"mode": "L", "layout": "HW", "size": [4, 3], "resize": "bilinear"}
    assert known["classes"] == ["cat", "dog"]
    assert "package/weights/input.json" in script.outputs


@pytest.mark.parametrize("metadata", [OF_TRAINER, {}])
def test_a_table_of_the_built_in_trainer_has_its_columns(script: EndedScript, metadata: dict[str, str]) -> None:
    column = {"name": "city", "kind": "category", "categories": ["Bern"]}
    data = {"version": 1, "kind": "table", "task": "classification", "classes": ["cat", "dog"], "label": "pet"}
    script.write("outputs/input.json", json.dumps({**data, "columns": [column]}).encode())
    packaged(script, network(script.job, script.job.outputs / "model.npz", metadata=metadata))
    (known,) = input_document(script)["networks"]
    if metadata:
        assert (known["kind"], known["label"], known["columns"]) == ("table", "pet", [{**column, "input": "x"}])
        assert "takes columns that are encoded as `input.json` says" in card(script)
    else:  # what the network takes is not what the trainer reads
        assert (known["kind"], known["classes"]) == ("array", None)


def test_a_folder_of_weights_has_a_network_for_each(script: EndedScript) -> None:
    files = [script.write(f"outputs/gan/{name}.npz", archive({"w.npy": name.encode()})) for name in ("gen", "dis")]
    networks = [network(script.job, file, file.stem) for file in files]
    model, records = packaged(script, *networks, model="gan")
    assert mlmodel(script)["flavors"]["onnx"]["data"] == "dis.onnx"  # the last one saved
    assert [one["name"] for one in input_document(script)["networks"]] == ["gen", "dis"]
    assert {"package/weights/gen.npz", "package/weights/dis.npz", "package/gen.onnx"} <= set(script.outputs)
    assert "dis.onnx" in str(model.reason)
    assert records.notes == ["A note of the job."]


@pytest.mark.parametrize(("wanted", "used", "notes"), [("gen", "gen", 0), ("generator", "dis", 1)])
def test_job_yaml_chooses_the_network(script: EndedScript, wanted: str, used: str, notes: int) -> None:
    files = [script.write(f"outputs/gan/{name}.npz", archive({"w.npy": name.encode()})) for name in ("gen", "dis")]
    networks = [network(script.job, file, file.stem) for file in files]
    _, records = packaged(script, *networks, model="gan", options=Options(network=wanted))
    assert input_document(script)["default"] == used
    assert len(records.notes) == 1 + notes
    assert all("kedja.export.network in job.yaml is generator" in note for note in records.notes[1:])


FAILED = Failure(link="LSTM", reason="ONNX needs its state", function="NStepLSTM", path="/encoder")


@pytest.mark.parametrize(
    ("failures", "options", "reason"),
    [
        ((FAILED,), Options(), "LSTM could not be exported as ONNX: ONNX needs its state."),
        ((), Options(onnx=Onnx.NEVER), "Nothing was exported, as kedja.export.onnx in job.yaml is never."),
        ((), Options(), "No network with these weights was exported: the job saw no call of it."),
    ],
)
def test_without_an_export_the_weights_and_the_reason_are_packaged(
    script: EndedScript, failures: tuple[Failure, ...], options: Options, reason: str
) -> None:
    model, _ = packaged(script, failures=failures, options=options)
    assert model.path == "package"
    assert str(model.reason).endswith(f"with its weights alone. {reason}")
    assert [name for name in script.outputs if name.startswith("package")] == [
        "package/MODEL_CARD.md",
        "package/weights/model.npz",
    ]
    assert reason in card(script)


def test_the_card_says_what_the_job_knows(script: EndedScript) -> None:
    unverified = network(script.job, script.job.outputs / "model.npz", verified=False)
    packaged(script, unverified, failures=(FAILED,))
    text = card(script)
    for known in (
        "# digits",
        f"drop `{'ab' * 32}`",
        "data: 1 file, 10 bytes",
        "command: `python train.py`",
        "| accuracy | 0.975 |",
        "model.onnx does not give the answers of Chainer.",
        "`model.onnx` is not verified",
        "input `x`: float32 (N, 3), values from -2.5 to 3 were seen in training",
        "LSTM could not be exported",
        "A note of the job.",
        "before it calls the network is not part of the ONNX file",
    ):
        assert known in text


def test_a_job_that_starts_again_writes_the_package_anew(script: EndedScript) -> None:
    collection.remember_collected(script.job, [])
    packaged(script)
    collection.remove_earlier(script.job)
    assert [name for name in script.outputs if name.startswith("package/")] == []
    model, _ = packaged(script)
    assert model.path == "package"


def test_a_folder_of_the_scripts_own_is_left_alone(script: EndedScript) -> None:
    own = script.write("outputs/package/mine.txt")
    model, _ = packaged(script)
    assert model.path == "package2"
    assert own.read_bytes() == b"x"


def test_what_the_script_itself_wrote_for_mlflow_stays_the_model(script: EndedScript) -> None:
    script.write("outputs/own/MLmodel", b"flavors: {}")
    assert packaged(script, model="own")[0] == FoundModel("own", WHY)


def test_a_package_that_cannot_be_written_leaves_the_weights(script: EndedScript) -> None:
    broken = network(script.job, script.job.outputs / "model.npz")
    broken.onnx.unlink()
    model, records = packaged(script, broken)
    assert model == FoundModel("model.npz", WHY)
    assert "The model could not be packaged, so its weights are registered alone" in records.notes[-1]
    assert not (script.job.outputs / "package").exists()


def test_a_file_that_no_link_was_saved_to_stays_the_model(script: EndedScript) -> None:
    script.saved.clear()
    assert packaged(script)[0] == FoundModel("model.npz", WHY)
    assert script.outputs == ["model.npz"]


def test_without_a_model_nothing_is_written(script: EndedScript) -> None:
    none = FoundModel(reason="The script saved no Link.")
    assert writer.write(script.job, Exports(), none, Records(), Options()) == none
    assert script.outputs == ["model.npz"]


def test_the_linked_files_have_the_content_of_what_was_exported(script: EndedScript) -> None:
    made = network(script.job, script.job.outputs / "model.npz")
    packaged(script, made)
    for file in made.files:
        place = script.job.outputs / "package" / file.name
        assert hashlib.sha256(place.read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest()
