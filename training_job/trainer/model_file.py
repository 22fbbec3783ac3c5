"""A model folder: `model.npz` (the weights, in Chainer's format) and `model.json` (the rest).

model.json::

    {"version": 1, "architecture": "mlp",
     "options": {"inputs": [784], "classes": 10, "hidden": [100, 100], "dropout": 0.0},
     "inputs": {"shape": [784], "network_shape": [784], "mean": [0.0], "scale": [0.00392]},
     "classes": ["0", "1", …],
     "networks": null, "target": null}

`networks` names the file in the same folder that defines the network's class, if it is not built in. `target` is
`{"mean": 152.1, "scale": 77.0}` if the model predicts a quantity: the network's output times `scale`, plus `mean`.
`classes` is empty then.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job.atomic_write import DAMAGED_ARRAYS, open_atomic, write_json
from training_job.errors import ModelError
from training_job.trainer import networks
from training_job.trainer.preprocessing import Preprocessor

WEIGHTS = "model.npz"
DESCRIPTION = "model.json"
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Target:
    """Mean and deviation of the quantities that a network was trained on, in their units."""

    mean: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """The content of `model.json`. `target` is None if the model predicts classes."""

    architecture: str
    options: Mapping[str, Any]
    preprocessor: Preprocessor
    classes: tuple[str, ...]
    networks: str | None = None
    target: Target | None = None


def save(folder: Path, description: Description, network: Any) -> None:  # noqa: ANN401 - Chainer has no types
    """Write both files atomically, the description last."""
    with open_atomic(folder / WEIGHTS) as stream:
        chainer.serializers.save_npz(stream, network)
    write_json(
        folder / DESCRIPTION,
        {
            "version": _VERSION,
            "architecture": description.architecture,
            "options": dict(description.options),
            "inputs": description.preprocessor.to_json(),
            "classes": list(description.classes),
            "networks": description.networks,
            "target": None if description.target is None else asdict(description.target),
        },
    )


def load(folder: Path) -> tuple[Description, Any]:
    """Return the description and the network with its weights. Its outputs are not scaled by the target.

    Raises:
        ModelError: A file is missing, damaged, of an unknown version, or the two do not match.
    """
    path = folder / DESCRIPTION
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            raise ModelError(f"{path} has version {document['version']}: {_VERSION} is what this Kedja reads")
        description = Description(
            architecture=document["architecture"],
            options=document["options"],
            preprocessor=Preprocessor.from_json(document["inputs"]),
            classes=tuple(document["classes"]),
            networks=document.get("networks"),
            target=_target(document.get("target")),
        )
        _check_kinds(description)
    except FileNotFoundError:
        raise ModelError(
            f"{path} is missing: the built-in trainer writes it; a script's own network is named with --network"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path} is no description of a model: {error!r}") from error
    if description.networks is not None and description.architecture not in networks.REGISTRY:
        raise ModelError(
            f"network {description.architecture!r} is none of Kedja's own: give --networks "
            f"{folder / description.networks}, which runs that file"
        )
    network = _built(description)
    load_weights(folder / WEIGHTS, network)
    return description, network


def _target(document: Mapping[str, Any] | None) -> Target | None:
    if document is None:
        return None
    target = Target(mean=float(document["mean"]), scale=float(document["scale"]))
    if not (math.isfinite(target.mean) and math.isfinite(target.scale)):
        raise ValueError("the target's mean and scale are not finite")
    return target


def _check_kinds(description: Description) -> None:
    texts = (description.architecture, *description.classes, description.networks or "")
    if not isinstance(description.options, dict) or not all(isinstance(text, str) for text in texts):
        raise TypeError("architecture, classes and networks are texts, and options a mapping")


def _built(description: Description) -> Any:  # noqa: ANN401 - Chainer has no types
    try:
        return networks.build(description.architecture, description.options)
    except (ValueError, KeyError, IndexError, AttributeError, OverflowError, MemoryError, AssertionError) as error:
        # Chainer hardly checks the arguments of a layer.
        options = dict(description.options)
        raise ModelError(f"network {description.architecture} cannot be made of {options}: {error!r}") from error


def load_weights(path: Path, network: Any) -> None:  # noqa: ANN401 - Chainer has no types
    """Fill the network with the weights of a file.

    Raises:
        ModelError: The file is missing or damaged, or its arrays do not match the network.
    """
    try:
        # Like chainer.serializers.load_npz, which would load pickled objects.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise ModelError(f"{path} is missing") from None
    except DAMAGED_ARRAYS as error:
        raise ModelError(f"{path} is damaged, or no file of weights: {error}") from error
    try:
        chainer.serializers.NpzDeserializer(arrays).load(network)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} does not fit the network {type(network).__name__}: {error}") from error
