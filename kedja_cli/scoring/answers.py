"""Runs a network in ONNX Runtime, and turns its outputs into an answer for each example."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kedja_cli.errors import CommandError
from kedja_cli.json_text import Json
from kedja_cli.scoring.examples import Examples
from kedja_cli.scoring.package import Network

_BATCH = 256
_LABEL, _VALUE, _PROBABILITY = "label", "value", "p_"
_QUIET = 3


def answer(network: Network, examples: Examples) -> Iterator[Json]:
    """Yield an answer for each example: `class` and `scores`, `value`, or the `outputs` if they have no names.

    Raises:
        CommandError: The network cannot be loaded, or does not take what its description says.
    """
    session = _session(network)
    size = network.inputs[0].batch or _BATCH
    for start in range(0, examples.count, size):
        batch = {name: array[start : start + size] for name, array in examples.arrays.items()}
        try:
            outputs = dict(zip(network.outputs, session.run([*network.outputs], batch), strict=True))
        except Exception as error:  # ONNX Runtime's own errors have no common base
            raise CommandError(f"{network.file.name} cannot be run: {error}") from error
        for index in range(len(next(iter(batch.values())))):
            yield _one(network, {name: np.asarray(value)[index] for name, value in outputs.items()})


def accuracy(answers: Sequence[Mapping[str, Any]], labels: Sequence[str] | None) -> float | None:
    """Return the share of examples whose class is their label; None if there are no labels or no classes."""
    if not labels or any("class" not in one for one in answers):
        return None
    right = [bool(one["class"] == label) for one, label in zip(answers, labels, strict=True)]
    return sum(right) / len(labels)


def _session(network: Network) -> Any:  # noqa: ANN401 - ONNX Runtime is not typed
    try:
        import onnxruntime  # noqa: PLC0415 - slow, and only this command needs it
    except ImportError as error:
        raise CommandError(
            "ONNX Runtime is not installed, which scores models.", "Install it: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    try:
        session = onnxruntime.InferenceSession(str(network.file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise CommandError(f"{network.file.name} cannot be loaded: {error}") from error
    names = ({one.name for one in session.get_inputs()}, {one.name for one in session.get_outputs()})
    if names[0] != {one.name for one in network.inputs} or not names[1].issuperset(network.outputs):
        raise CommandError(f"{network.file.name} has other inputs or outputs than its input.json says.")
    return session


def _one(network: Network, outputs: Mapping[str, Any]) -> Json:
    if _LABEL in outputs and network.kind == "table":
        scores = {name.removeprefix(_PROBABILITY): _plain(value) for name, value in outputs.items() if name != _LABEL}
        return {"class": str(_plain(outputs[_LABEL])), "scores": scores}
    if [*outputs] == [_VALUE] and outputs[_VALUE].size == 1:
        return {"value": _plain(outputs[_VALUE])}
    classes = network.classes
    if classes is not None and len(outputs) == 1:
        (values,) = outputs.values()
        if values.shape == (len(classes),):
            found = dict(zip(classes, map(float, values), strict=True))
            return {"class": classes[int(values.argmax())], "scores": found}
    return {"outputs": {name: _plain(value) for name, value in outputs.items()}}


def _plain(value: Any) -> Any:  # noqa: ANN401 - an array, or what is in one
    plain = np.asarray(value).tolist()
    return plain[0] if isinstance(plain, list) and len(plain) == 1 else plain
