import importlib
from pathlib import Path
from typing import Any

import chainer
import numpy as np
import pytest

from training_job.trainer import networks, onnx_file
from training_job.trainer.preprocessing import Preprocessor

SHAPES: dict[str, tuple[int, ...]] = {"mlp": (12,), "cnn": (1, 16, 16), "ensemble": (12,), "quantity": (12,)}
OPTIONS: dict[str, Any] = {"ensemble": {"members": [[], [7], [8, 5]]}}


def preprocessor(shape: tuple[int, ...]) -> Preprocessor:
    return Preprocessor(
        shape=shape, network_shape=shape, mean=np.array([0], np.float32), scale=np.array([1], np.float32)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_the_network_is_written_for_any_number_of_examples(tmp_path: Path, name: str) -> None:
    onnx: Any = pytest.importorskip("onnx", reason="needs onnx, which a job may bring itself")
    kind = "mlp" if name == "quantity" else name
    network = networks.build(kind, {"inputs": SHAPES[name], "classes": 3, **OPTIONS.get(name, {})})
    if name == "quantity":
        network = networks.Scaled(network, mean=152.1, scale=77.0)
    assert onnx_file.write(tmp_path, network, preprocessor(SHAPES[name])) is None
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = onnx.load(str(tmp_path / "model.onnx"))
    onnx.checker.check_model(model)
    reference = importlib.import_module("onnx.reference").ReferenceEvaluator(model)
    weights = {one.name for one in model.graph.initializer}
    (name_of_input,) = (one.name for one in model.graph.input if one.name not in weights)
    x = np.random.default_rng(0).random((5, *SHAPES[name])).astype(np.float32)
    (found,) = reference.run(None, {name_of_input: x})
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        np.testing.assert_allclose(found, network(x).array, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exporter:
        @staticmethod
        def export(*_: object, filename: str, **_kwargs: object) -> None:
            Path(filename).write_bytes(b"half")
            raise ValueError("no converter for Strange")

    monkeypatch.setattr(importlib, "import_module", lambda _: Exporter)
    network = networks.build("mlp", {"inputs": [12], "classes": 3})
    assert onnx_file.write(tmp_path, network, preprocessor((12,))) == "ValueError: no converter for Strange"
    assert list(tmp_path.iterdir()) == []
