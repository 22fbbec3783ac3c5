"""Turns raw examples into a network's inputs, in the same way for training and scoring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.errors import ModelError

_MNIST = (784,)
_WHITE = 255.0


@dataclass(frozen=True, kw_only=True)
class Preprocessor:
    """How a raw example becomes a network's input: `(x - mean) * scale`, then reshaped.

    `shape` is the shape of a raw example, `network_shape` that of an input. `mean` and `scale` are float32, of shape
    (1,) or with one value for each value of an example.
    """

    shape: tuple[int, ...]
    network_shape: tuple[int, ...]
    mean: Any
    scale: Any

    @property
    def are_pictures(self) -> bool:
        """Whether an input is (channels, height, width)."""
        return len(self.network_shape) == 3  # noqa: PLR2004 - three dimensions

    def prepare(self, x: Any) -> Any:  # noqa: ANN401 - an array of any numbers to one of float32
        """Return float32 (N, *network_shape) for raw examples (N, *shape).

        Raises:
            ModelError: The examples have another shape, or are not numbers.
        """
        x = np.asarray(x)
        if x.shape[1:] != self.shape or x.ndim == 0 or x.dtype.kind not in "buif":
            raise ModelError(
                f"the examples have shape {x.shape} of {x.dtype}: (N, {', '.join(map(str, self.shape))}) of numbers is "
                "what this model was trained on"
            )
        flat = x.reshape(len(x), -1).astype(np.float32)
        return ((flat - self.mean) * self.scale).reshape(len(x), *self.network_shape)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that `from_json` reads."""
        return {
            "shape": list(self.shape),
            "network_shape": list(self.network_shape),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Preprocessor":
        """Read a document of `to_json`.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has the wrong type.
            ValueError: A field has an invalid value.
        """
        return cls(
            shape=tuple(int(side) for side in document["shape"]),
            network_shape=tuple(int(side) for side in document["network_shape"]),
            mean=np.array(document["mean"], np.float32),
            scale=np.array(document["scale"], np.float32),
        )


def choose_preprocessor(x: Any) -> Preprocessor:  # noqa: ANN401 - the training examples, an array
    """Return the preprocessor that suits the training examples.

    Pictures, that is (N, height, width), (N, channels, height, width) and MNIST's rows of 784 values from 0 to 255,
    become (channels, height, width) from 0 to 1. Of other examples, each value is scaled to mean 0 and standard
    deviation 1.
    """
    shape = x.shape[1:]
    if len(shape) == 1 and not (shape == _MNIST and x.min() >= 0 and x.max() <= _WHITE):
        flat = x.astype(np.float64)
        deviation = flat.std(axis=0)
        scale = 1 / np.where(deviation > 0, deviation, 1)
        return Preprocessor(
            shape=shape, network_shape=shape, mean=flat.mean(axis=0).astype(np.float32), scale=scale.astype(np.float32)
        )
    picture = {1: (1, 28, 28), 2: (1, *shape), 3: shape}[len(shape)]
    white = 1.0 if x.dtype != np.uint8 and x.max() <= 1 else _WHITE
    return Preprocessor(
        shape=shape, network_shape=picture, mean=np.array([0.0], np.float32), scale=np.array([1 / white], np.float32)
    )
