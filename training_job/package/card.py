"""`MODEL_CARD.md`: what a model is, what it was trained from, how good it is, how to use it, and its limits.

It says only what the job knows. What the script's author knows beyond that belongs to it too, so the card says so.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training_job.export.exports import ExportedNetwork, Failure, Tensor
from training_job.job import Job
from training_job.package import exported

NAME = "MODEL_CARD.md"
_METRICS_SHOWN = 100
_LONGEST = 500
_CLASSES_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the job knows of its model.

    `weights` are the registered files, relative to the package. Without `networks`, `reason` says why there are none.
    `input_document` is that of `input.json`, empty without networks.
    """

    job: Job
    weights: Sequence[str]
    why: str | None
    metrics: Mapping[str, float]
    notes: Sequence[str]
    networks: Sequence[ExportedNetwork] = ()
    default: ExportedNetwork | None = None
    failures: Sequence[Failure] = ()
    reason: str | None = None
    input_document: Mapping[str, Any]


def text(facts: Facts) -> str:
    """Return the card as Markdown."""
    drop = _drop(facts.job)
    lines = [
        f"# {_plain(drop.get('experiment') or 'Model')}",
        "",
        *_what(facts),
        *_origin(facts, drop),
        *_quality(facts),
        *_use(facts),
        *_limits(facts),
    ]
    return "\n".join(lines) + "\n"


def _what(facts: Facts) -> Iterator[str]:
    yield from ("## What it is", "")
    if facts.default is None:
        yield "Weights of a network of Chainer. They need the script that defines the network."
        yield ""
        return
    yield "A network that was trained with Chainer, as ONNX. It needs neither Chainer nor the script that trained it."
    yield ""
    for network, document in zip(facts.networks, facts.input_document["networks"], strict=True):
        mark = ", which MLflow loads" if network is facts.default and len(facts.networks) > 1 else ""
        yield f"- `{network.onnx.name}`{mark}: `{network.link}.{network.method}`"
        for tensor, known in zip(network.inputs, document["inputs"], strict=True):
            yield f"    - input {_tensor(tensor)}{_range(known)}"
        yield from (f"    - output {_tensor(tensor)}" for tensor in network.outputs)
        classes = document.get("classes")
        if classes:
            more = f" and {len(classes) - _CLASSES_SHOWN} more" if len(classes) > _CLASSES_SHOWN else ""
            yield f"    - classes: {', '.join(map(_plain, classes[:_CLASSES_SHOWN]))}{more}"
    yield ""


def _origin(facts: Facts, drop: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## What it was trained from", "")
    if drop.get("experiment"):
        yield f"- experiment `{_plain(drop['experiment'])}`, drop `{_plain(drop.get('drop') or 'unknown')}`"
    for key, noun in (("data", "data"), ("scripts", "scripts")):
        files = drop.get(key)
        if isinstance(files, list):
            size = sum(int(one.get("size", 0)) for one in files if isinstance(one, dict))
            count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
            yield f"- {noun}: {count}, {size:,} bytes, as the drop's snapshot lists them"
    yield f"- command: `{_plain(shlex.join(facts.job.command))}`"
    yield f"- weights: {', '.join(f'`{_plain(name)}`' for name in facts.weights)}"
    if facts.why:
        yield f"- {_plain(facts.why)}"
    yield ""


def _quality(facts: Facts) -> Iterator[str]:
    yield from ("## How good it is", "")
    if facts.metrics:
        yield from ("The last value of each metric that the script recorded:", "", "| metric | value |", "|---|---|")
        shown = sorted(facts.metrics)[:_METRICS_SHOWN]
        yield from (f"| {_plain(name).replace('|', '/')} | {facts.metrics[name]:.6g} |" for name in shown)
        if len(facts.metrics) > _METRICS_SHOWN:
            yield f"| and {len(facts.metrics) - _METRICS_SHOWN} more | |"
    else:
        yield "The script recorded no metric."
    yield ""
    for network in facts.networks:
        yield f"- {_plain(network.sentence)}"
    if facts.networks:
        yield ""


def _use(facts: Facts) -> Iterator[str]:
    yield from ("## How to use it", "")
    if facts.default is None:
        yield "Load the weights with Chainer into the network that the script defines, such as"
        yield "`chainer.serializers.load_npz(path, network)` for an `.npz` file."
        yield ""
        return
    feeds = ", ".join(f'"{tensor.name}": {tensor.name}' for tensor in facts.default.inputs)
    yield from (
        "With ONNX Runtime alone:",
        "",
        "```python",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{facts.default.onnx.name}")',
        f"outputs = session.run(None, {{{feeds}}})",
        "```",
        "",
        'With MLflow, and what requirements.txt lists: `mlflow.pyfunc.load_model("<this folder>").predict(inputs)`.',
        "",
        "`input.json` says what the inputs are. Arrays of another dtype or range than these give wrong answers.",
        "",
    )


def _limits(facts: Facts) -> Iterator[str]:
    yield from ("## Limits", "")
    if facts.reason and not facts.failures:
        yield f"- {_plain(facts.reason)}"
    for network in facts.networks:
        if not network.verified:
            yield f"- `{network.onnx.name}` is not verified: its outputs are not shown to be those of Chainer."
    yield from (f"- {_plain(exported.describe(failure))}" for failure in facts.failures)
    yield "- The metrics are those of the script's own data. Nothing is known about other data."
    known = facts.input_document.get("networks", ())
    if any(one["kind"] == "array" and one["classes"] is None for one in known):
        yield "- What the script does with its data before it calls the network is not part of the ONNX file."
    if any("kind" in column for one in known for column in one.get("columns", ())):
        yield "- The ONNX file takes columns that are encoded as `input.json` says. `kedja predict` does that."
    yield from (f"- {_plain(note)}" for note in facts.notes)


def _tensor(tensor: Tensor) -> str:
    return f"`{tensor.name}`: {tensor.dtype} ({', '.join(map(str, tensor.shape))})"


def _range(known: Mapping[str, Any]) -> str:
    seen = known.get("seen")
    return f", values from {seen[0]:g} to {seen[1]:g} were seen in training" if seen else ""


def _drop(job: Job) -> Mapping[str, Any]:
    """Return what the snapshot's manifest says; nothing if it cannot be read."""
    try:
        found = json.loads((job.snapshot / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(text: str) -> str:
    """Return a text in one line, shortened, without the marks that would end a code span."""
    return " ".join(str(text).split())[:_LONGEST].replace("`", "'")
