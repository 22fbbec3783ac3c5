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
- `picture`: also pictures, made uint8 of the mode (`L` or `RGB`) and `size` that `picture` has, with `layout` `HW` or
  `CHW`. `resize` is `bilinear` if those of another size are resized, as in training; else they are refused;
- `table`: also rows of named columns. `label` names the column of the labels. What a column in `columns` becomes is
  either an input of its own, `{"name": "age", "input": "age", "type": "number", "missing": "refuse"}` or
  `{"name": "city", "input": "city", "type": "text", "missing": "refuse", "categories": ["Bern", …],
  "unseen": "refuse"}`: `missing` and `unseen` are `refuse`, or `accept` if the graph itself handles an empty cell (as
  nan or an empty text) or an unknown category. Or, with `kind` in place of `type`, it becomes values of the input
  (N, width), in the order of the columns: such a column is one of the built-in trainer
  (`training_job.trainer.datasets.tables.columns.Column`).

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


def document(networks: Sequence[ExportedNetwork], default: ExportedNetwork, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document for these networks. `data` is the built-in trainer's `input.json`, empty for a script's."""
    return {
        "version": _VERSION,
        "default": default.name,
        "networks": [_network(network, data if network is default else {}) for network in networks],
    }


def description(folder: Path) -> dict[str, Any]:
    """Return the built-in trainer's own `input.json` in a folder of weights; an empty document if there is none."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"version", "kind", "task", "classes"} <= found.keys() else {}


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


def _network(network: ExportedNetwork, data: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {"kind": "array", "classes": None}
    if data and {"dtype", "range"} <= network.metadata.keys():  # the network takes examples as the trainer reads them
        known |= _of_trainer(network, data)
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


def _of_trainer(network: ExportedNetwork, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the built-in trainer knows of its data."""
    known: dict[str, Any] = {"classes": data["classes"] or None}
    (tensor,) = network.inputs
    if data["kind"] == "table":
        columns = [{**column, "input": tensor.name} for column in data["columns"]]
        known |= {"kind": "table", "columns": columns, "label": data.get("label")}
    elif data["kind"] == "pictures":
        is_flat = len(tensor.shape) == len(("N", "height", "width"))
        size = [data["height"], data["width"]]
        picture = {"mode": data["mode"], "layout": "HW" if is_flat else "CHW", "size": size, "resize": "bilinear"}
        known |= {"kind": "picture", "picture": picture}
    return known


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
