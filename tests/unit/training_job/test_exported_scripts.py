"""Scripts that know nothing of Kedja leave their model as ONNX, and are not changed by that."""

import json
import textwrap
from typing import Any

import onnxruntime
import pytest

from tests.unit.training_job.drops import Drop, Ended

BEGINNING = """
    import atexit, sys
    import chainer, numpy as np
    import chainer.functions as F
    import chainer.links as L
    from chainer import serializers

    np.random.seed(0)

    class Net(chainer.Chain):
        def __init__(self):
            super(Net, self).__init__(fc=L.Linear(3, 2))
        def __call__(self, x, t):
            y = self.fc(x)
            return F.softmax_cross_entropy(y, t)

    def train(model):
        optimizer = chainer.optimizers.SGD().setup(model)
        for _ in range(30):
            x = np.random.rand(4, 3).astype("f")
            optimizer.update(model, x, (x[:, 0] > 0.5).astype("i"))
        return model
    """


def run(drop: Drop, script: str, *, export: str = "{}") -> Ended:
    drop.scripts = {"train.py": textwrap.dedent(BEGINNING) + textwrap.dedent(script)}
    return drop.launch("python", "train.py", KEDJA_EXPORT=export)


def notes(ended: Ended) -> list[str]:
    found: list[str] = ended.manifest["notes"]
    return found


def inputs_of(ended: Ended) -> list[tuple[str, list[Any]]]:
    file = ended.folder / "outputs" / "package" / "model.onnx"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return [(value.name, value.shape) for value in session.get_inputs()]


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit(0)",
        "atexit.register(print, 'last words')",
        "import warnings; warnings.simplefilter('error')",
        "import os; os.mkdir('elsewhere'); os.chdir('elsewhere')",
        "sys.stdout.close()",
    ],
)
def test_the_saved_model_is_exported_when_the_script_ends(drop: Drop, end: str) -> None:
    ended = run(drop, f"serializers.save_npz('own.model', train(Net()))\n{end}")
    assert ended.code == 0, ended.errors
    own = [path for path in ended.files if not path.startswith("package/")]
    assert own == ["own.model"]
    assert {"package/model.onnx", "package/parity.json", "package/parity.npz"} <= set(ended.files)
    assert inputs_of(ended) == [("x", ["N", 3])]
    (note,) = notes(ended)
    assert note.startswith("model.onnx gives the same answers as Chainer on 64 inputs (largest difference ")


def test_the_script_prints_and_computes_the_same(drop: Drop) -> None:
    script = """
        model = train(Net())
        serializers.save_npz("own.model", model)
        print(np.random.rand(), float(model.fc.W.array.sum()), vars(Net)["__call__"].__class__.__name__)
        atexit.register(lambda: print(float(model.fc.W.array.sum()), np.random.rand()))
        """
    with_export = run(drop, script)
    without = run(drop, script, export='{"onnx": "never"}')
    assert "function" in with_export.output
    assert with_export.output == without.output
    assert "package/model.onnx" in with_export.files
    assert "package/model.onnx" not in without.files


@pytest.mark.parametrize("end", ["sys.exit(3)", "1 / 0"])
def test_a_script_that_fails_has_its_own_exit_code_and_reason(drop: Drop, end: str) -> None:
    ended = run(drop, f"serializers.save_npz('own.model', train(Net()))\n{end}", export='{"onnx": "required"}')
    assert ended.code == (3 if "exit" in end else 1)
    assert "ONNX" not in ended.manifest["reason"]
    assert notes(ended) == []


def test_a_model_that_cannot_be_exported_is_noted(drop: Drop) -> None:
    script = """
        class Recurrent(chainer.Chain):
            def __init__(self):
                super(Recurrent, self).__init__(rnn=L.LSTM(3, 2))
            def __call__(self, x):
                return self.rnn(x)

        model = L.Classifier(Recurrent())
        train(model)
        serializers.save_npz("own.model", model)
        """
    ended = run(drop, script)
    assert ended.code == 0, ended.errors
    assert notes(ended) == [
        "Recurrent could not be exported as ONNX: LSTM of the Link predictor/rnn has no converter to ONNX."
    ]
    required = run(drop, script, export='{"onnx": "required"}')
    assert required.code == 1
    assert required.manifest["result"] == "failed"
    assert required.manifest["reason"].startswith("job.yaml requires an export as ONNX: Recurrent could not be ")


def test_an_export_that_is_required_and_verified_is_no_failure(drop: Drop) -> None:
    ended = run(drop, "serializers.save_npz('own.model', train(Net()))", export='{"onnx": "required"}')
    assert ended.code == 0, ended.errors


def test_an_export_that_is_required_and_not_as_exact_fails_the_job(drop: Drop) -> None:
    export = '{"onnx": "required", "parity": {"rtol": 0, "atol": 0}}'
    script = """
        class Deep(Net):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.more = L.Linear(2, 500)
            def __call__(self, x, t):
                return F.softmax_cross_entropy(F.tanh(self.more(F.exp(self.fc(x)))), t)
        serializers.save_npz("own.model", train(Deep()))
        """
    ended = run(drop, script, export=export)
    assert ended.code == 1
    assert "'output' is not what Chainer computes" in ended.manifest["reason"]


def test_a_value_that_is_not_valid_is_noted_or_fails(drop: Drop) -> None:
    ended = run(drop, "serializers.save_npz('own.model', train(Net()))", export='{"onnx": "maybe"}')
    assert ended.code == 0
    assert "KEDJA_EXPORT has a value that is not valid: 'maybe'" in notes(ended)[0]


def test_a_notebook_leaves_its_model_too(drop: Drop) -> None:
    source = textwrap.dedent(BEGINNING) + "serializers.save_npz('own.model', train(Net()))"
    cell: dict[str, object] = {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    drop.scripts = {"train.ipynb": json.dumps(book)}
    ended = drop.launch("python", "-m", "training_job.notebook", "train.ipynb", KEDJA_EXPORT="{}")
    assert ended.code == 0, ended.errors
    assert inputs_of(ended) == [("x", ["N", 3])]
