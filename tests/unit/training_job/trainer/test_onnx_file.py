import json
from pathlib import Path
from typing import Any

import chainer
import numpy as np
import onnx
import onnxruntime
import pytest

from training_job.errors import ModelError
from training_job.export import exports
from training_job.trainer import model_file, networks, onnx_file
from training_job.trainer.datasets.table import Table
from training_job.trainer.fitted import Fitted
from training_job.trainer.preprocessing import choose_preprocessor

OPTIONS: dict[str, Any] = {"ensemble": {"members": [[], [7], [8, 5]]}}


def examples(name: str) -> Any:  # noqa: ANN401 - an array
    rng = np.random.default_rng(0)
    if name == "cnn":
        return rng.integers(0, 256, (12, 1, 16, 16)).astype(np.uint8)
    return (rng.random((12, 5)) * 40 - 7).astype(np.float64 if name == "ensemble" else np.float32)


def fit(name: str, network: Any = None, target: model_file.Target | None = None) -> Fitted:  # noqa: ANN401 - Chainer has no types
    preprocessor = choose_preprocessor(examples(name))
    options = {"inputs": list(preprocessor.network_shape), "classes": 3, **OPTIONS.get(name, {})}
    network = network or networks.build(name, options)
    return Fitted(
        network=network, architecture=name, options=options, preprocessor=preprocessor, target=target, metrics={},
        curves=[],
    )  # fmt: skip


def write(folder: Path, fitted: Fitted) -> str | None:
    x = examples(fitted.architecture)
    table = Table(x=x, y=np.arange(len(x)) % 3, source="x.npz", classes=("ant", "bee", "cat"))
    description = model_file.Description(
        architecture=fitted.architecture, options=fitted.options, preprocessor=fitted.preprocessor,
        classes=table.classes,
    )  # fmt: skip
    model_file.save(folder, description, fitted.network)
    return onnx_file.write(folder, fitted, x, table)


def run(folder: Path, x: Any) -> Any:  # noqa: ANN401 - arrays
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": x})
    return answer


@pytest.mark.parametrize("name", networks.BUILT_IN)
def test_examples_become_probabilities(tmp_path: Path, name: str) -> None:
    fitted = fit(name)
    sentence = write(tmp_path, fitted)
    assert sentence is not None
    assert sentence.startswith("model.onnx gives the same answers as Chainer on 12 inputs")
    x = np.repeat(examples(name), 2, axis=0)
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        scores = fitted.network(fitted.preprocessor.prepare(x))
    np.testing.assert_allclose(run(tmp_path, x), chainer.functions.softmax(scores).array, rtol=1e-4, atol=1e-5)


def test_examples_become_a_quantity(tmp_path: Path) -> None:
    fitted = fit("mlp", target=model_file.Target(mean=152.1, scale=77.0))
    write(tmp_path, fitted)
    x = examples("mlp")
    quantities = fitted.network(fitted.preprocessor.prepare(x)).array * 77 + 152.1
    np.testing.assert_allclose(run(tmp_path, x), quantities, rtol=1e-4)


def test_classes_dtype_and_range_are_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, fit("cnn"))
    found = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "model.onnx")).metadata_props}
    assert json.loads(found["classes"]) == ["ant", "bee", "cat"]
    assert (found["dtype"], json.loads(found["range"])) == ("uint8", [0.0, 255.0])


def test_fractions_in_place_of_bytes_are_refused(tmp_path: Path) -> None:
    fitted = fit("cnn")
    write(tmp_path, fitted)
    fractions = (examples("cnn") / 255).astype(np.float32)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="uint8"):
        run(tmp_path, fractions)
    with pytest.raises(ModelError, match="the examples are float32, and this model was trained on uint8"):
        fitted.preprocessor.prepare(fractions)


def test_the_evidence_of_a_job_is_left_for_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_METRICS", str(tmp_path / "state" / "metrics.jsonl"))
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", fit("mlp"))
    found = exports.read(tmp_path / "state")
    assert found is not None
    (network,) = found.networks
    assert network.verified
    assert network.source.path == tmp_path / "out" / "model.npz"
    assert network.parity is not None
    assert json.loads(network.parity.read_text())["held_out"]


def test_what_cannot_be_exported_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    class Strange(networks.Mlp):
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
            return super().forward(chainer.functions.erf(x))

    sentence = write(tmp_path, fit("mlp", Strange(inputs=[5], classes=3)))
    assert sentence == "no model.onnx: Erf of the Link network has no converter to ONNX"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.npz"]


def test_nothing_is_written_if_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDJA_EXPORT", '{"onnx": "never"}')
    assert write(tmp_path, fit("mlp")) is None
    assert not (tmp_path / "model.onnx").exists()
