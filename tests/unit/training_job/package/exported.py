"""Networks that a script's process exported, as files without content, for tests of what is packaged."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from training_job.export import exports
from training_job.export.exports import ExportedNetwork, Source, Tensor
from training_job.job import Job

PICTURES = (Tensor(name="x", dtype="uint8", shape=("N", 4, 3), low=0.0, high=255.0),)
ROWS = (Tensor(name="x", dtype="float32", shape=("N", 3), low=-2.5, high=3.0),)
SCORES = (Tensor(name="y", dtype="float32", shape=("N", 2)),)
COLUMNS = (
    Tensor(name="age", dtype="float32", shape=("N",), low=1.0, high=80.0),
    Tensor(name="city", dtype="object", shape=("N",)),
)
LABELS = (Tensor(name="label", dtype="object", shape=("N",)), Tensor(name="p_no", dtype="float32", shape=("N",)))
TABLE = {
    "kind": "table",
    "classes": ["no", "yes"],
    "label": "buys",
    "columns": [
        {"name": "age", "input": "age", "type": "number", "missing": "refuse"},
        {"name": "city", "input": "city", "type": "text", "missing": "refuse", "categories": ["Bern", "Rom"]},
    ],
}


def network(
    job: Job,
    weights: Path,
    name: str = "model",
    *,
    inputs: tuple[Tensor, ...] = ROWS,
    outputs: tuple[Tensor, ...] = SCORES,
    arrays: Mapping[str, object] | None = None,
    verified: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> ExportedNetwork:
    """Return a network with these files, whose weights are those of a file. `arrays` are of the comparison's inputs."""
    folder = job.state / exports.FOLDER
    folder.mkdir(exist_ok=True)
    onnx, parity = folder / f"{name}.onnx", folder / f"{name}-parity.json"
    onnx.write_bytes(f"onnx of {name}".encode())
    parity.write_text(json.dumps({"verified": verified}))
    given = {f"inputs/{key}": np.asarray(value) for key, value in (arrays or {}).items()}
    np.savez(parity.with_suffix(".npz"), **given)
    return ExportedNetwork(
        name=name,
        link="Net",
        method="forward",
        onnx=onnx,
        inputs=inputs,
        outputs=outputs,
        parity=parity,
        verified=verified,
        sentence=f"{name}.onnx {'gives' if verified else 'does not give'} the answers of Chainer.",
        source=Source.of_file(weights),
        metadata=metadata or {},
    )
