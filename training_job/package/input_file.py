"""`input.json`: what a scorer has to know of the inputs and outputs of a package's networks.

input.json::

    {"version": 1, "default": "model",
     "networks": [
       {"name": "model", "file": "model.onnx", "kind": "array", "verified": true,
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 784], "seen": [0.0, 1.0], "bounds": [0.0, 1.0]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": ["N", 10]}],
        "classes": ["0", "1", …]}]}

A dimension that is a text is free; `N` is the batch. `seen` is the range of the values in training, and `bounds` the
range that a scorer accepts: it is null for values without a usual range, of which a scorer accepts ten times the
largest that was seen, and any in a table. `classes` is null if they have no names.

`kind` is

- `array`: arrays of these shapes;
- `picture`: also pictures, decoded to uint8 of the mode (`L` or `RGB`) and size that `picture` has, and with
  `picture.layout` `HW` or `CHW`;
- `table`: also rows of named columns. `columns` has a column for each input, `{"name": "age", "input": "age",
  "type": "number", "missing": "refuse"}` or `{"name": "city", "input": "city", "type": "text", "missing": "refuse",
  "categories": ["Bern", …], "unseen": "refuse"}`. `missing` and `unseen` are `refuse`, or `accept` if the graph itself
  handles an empty cell (as nan or an empty text) or an unknown category. `label` names the column of the labels.

An ONNX file's own metadata may have `classes`, a JSON list, and under `kedja_scorer` a JSON object with any of the keys
`kind`, `classes`, `picture`, `columns` and `label`. They come before what is found out here.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training_job.export.exports import ExportedNetwork, Tensor

NAME = "input.json"
SCORER = "kedja_scorer"
"""The key of an ONNX file's metadata for what only the exporter knows."""
_VERSION = 1
_FROM_METADATA = frozenset({"kind", "classes", "picture", "columns", "label"})
_USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_CHANNELS = {1: "L", 3: "RGB"}


def document(networks: Sequence[ExportedNetwork], default: ExportedNetwork, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document for these networks. `model` is the built-in trainer's `model.json`, empty for a script's."""
    return {
        "version": _VERSION,
        "default": default.name,
        "networks": [_network(network, model if network is default else {}) for network in networks],
    }


def description(folder: Path) -> dict[str, Any]:
    """Return the built-in trainer's `model.json` in a folder; an empty document if there is none."""
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"version", "architecture", "inputs", "classes"} <= found.keys() else {}


def scorer(network: ExportedNetwork) -> dict[str, Any]:
    """Return what the exporter left for scorers in the ONNX file's metadata."""
    found = _parsed(network.metadata.get(SCORER))
    known = {key: value for key, value in found.items() if key in _FROM_METADATA} if isinstance(found, dict) else {}
    classes = _parsed(network.metadata.get("classes"))
    return {"classes": classes, **known} if isinstance(classes, list) else known


def _parsed(text: str | None) -> object:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _network(network: ExportedNetwork, model: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"kind": "array", "classes": _classes(network, model)}
    picture = _picture(network.inputs) if model else None
    if picture is not None:
        known |= {"kind": "picture", "picture": picture}
    known |= scorer(network)
    inputs = [_input(tensor) for tensor in network.inputs]
    if known["kind"] == "table":
        inputs = [{**one, "bounds": None} for one in inputs]
    return {
        "name": network.name,
        "file": network.onnx.name,
        "verified": network.verified,
        "inputs": inputs,
        "outputs": [_tensor(tensor) for tensor in network.outputs],
        **known,
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _input(tensor: Tensor) -> dict[str, Any]:
    seen = None if tensor.low is None or tensor.high is None else [tensor.low, tensor.high]
    if seen is not None and not all(map(math.isfinite, seen)):
        seen = None
    return {**_tensor(tensor), "seen": seen, "bounds": _bounds(tensor.dtype, seen)}


def _bounds(dtype: str, seen: list[float] | None) -> list[float] | None:
    """Return the usual range, such as 0 to 255, that has all values that were seen, which fill half of it or more."""
    if seen is None or not dtype.startswith("float"):
        return None
    low, high = seen
    for smallest, largest in _USUAL_RANGES:
        if smallest <= low and high <= largest and high - low >= (largest - smallest) / 2:
            return [smallest, largest]
    return None


def _picture(inputs: Sequence[Tensor]) -> dict[str, Any] | None:
    """Return how a picture becomes the only input; None if that is not uint8 (N, height, width) or with channels."""
    if len(inputs) != 1 or inputs[0].dtype != "uint8":
        return None
    sides = inputs[0].shape[1:]
    if not all(isinstance(side, int) for side in sides):
        return None
    match sides:
        case (height, width):
            return {"mode": "L", "layout": "HW", "size": [height, width]}
        case (int() as channels, height, width) if channels in _CHANNELS:
            return {"mode": _CHANNELS[channels], "layout": "CHW", "size": [height, width]}
    return None


def _classes(network: ExportedNetwork, model: Mapping[str, Any]) -> list[str] | None:
    names = model.get("classes")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    has_scores = any(len(output.shape) > 1 and output.shape[1] == len(names) for output in network.outputs)
    return names if has_scores else None
