"""Files of weights and model.json, as a scorer reads them. It runs in the environment that a job trains in."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.fuzz import inputs
from tests.fuzz.array_inputs import npy_arrays
from tests.fuzz.budget import fuzz, outcome
from training_job.errors import ModelError
from training_job.trainer import model_file, networks

pytestmark = pytest.mark.filterwarnings("ignore")

OPTIONS = {"inputs": [4], "classes": 2, "hidden": [3], "dropout": 0.0}
DESCRIPTION = {
    "version": 1,
    "architecture": "mlp",
    "options": OPTIONS,
    "inputs": {"shape": [4], "network_shape": [4], "mean": [0.0], "scale": [1.0]},
    "classes": ["0", "1"],
    "networks": None,
}


def modest(description: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a description whose network has a size that this machine has the memory for."""
    if isinstance(description, dict) and re.search(r"\d{4}|Infinity", json.dumps(description.get("options"))):
        return {**description, "options": OPTIONS}
    return description


def test_weights(tmp_path: Path) -> None:
    network = networks.build("mlp", OPTIONS)
    stream = io.BytesIO()
    np.savez(stream, **{name.lstrip("/"): parameter.array for name, parameter in network.namedparams()})
    weights = stream.getvalue()
    with np.load(io.BytesIO(weights)) as loaded:
        members = [f"{name}.npy" for name in loaded.files]

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(weights)) as old, zipfile.ZipFile(stream, "w") as new:
            wrong = draw(st.dictionaries(st.sampled_from([*members, "x.npy", "../x"]), npy_arrays, max_size=2))
            for name, data in {**{name: old.read(name) for name in members}, **wrong}.items():
                new.writestr(name, data)
        return stream.getvalue()

    files = st.one_of(damaged(), inputs.corrupted(st.just(weights)), inputs.corrupted(damaged()), st.just(weights))
    texts = st.one_of(
        st.just(json.dumps(DESCRIPTION).encode()),
        inputs.mutated([DESCRIPTION]).map(modest).map(inputs.encoded),
        inputs.corrupted(st.just(json.dumps(DESCRIPTION).encode())),
        inputs.deep,
    )
    folder = tmp_path / "model"

    def check(drawn: tuple[bytes, bytes]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / model_file.WEIGHTS).write_bytes(drawn[0])
        (folder / model_file.DESCRIPTION).write_bytes(drawn[1])
        found = outcome(ModelError, lambda: model_file.load(folder))
        assert not isinstance(found, ModelError) or str(found)

    fuzz("weights", st.tuples(files, texts), check)
