"""Turns raw examples into a network's inputs, in the same way for training and scoring."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_job.errors import ModelError

_MNIST = (784,)
_WHITE = 255.0


@dataclass(frozen=True, kw_only=True)
class Preprocessor:
    """How an example becomes a network's input: `(x - mean) * scale` in float64, then reshaped.

    `shape` is the shape of an example, `network_shape` that of an input. `mean` and `scale` are float64, of shape (1,)
    or with one value for each value of an example. `dtype` is that of the training examples, if known: it
    distinguishes bytes from fractions.
    """

    shape: tuple[int, ...]
    network_shape: tuple[int, ...]
    mean: Any
    scale: Any
    dtype: str | None = None

    @property
    def are_pictures(self) -> bool:
        """Whether an input is (channels, height, width)."""
        return len(self.network_shape) == 3  # noqa: PLR2004 - three dimensions

    def prepare(self, x: Any) -> Any:  # noqa: ANN401 - an array of any numbers to one of float32
        """Return float32 (N, *network_shape) for raw examples (N, *shape).

        Raises:
            ModelError: The examples have another shape, are not numbers, or are fractions in place of bytes.
        """
        x = np.asarray(x)
        if x.shape[1:] != self.shape or x.ndim == 0 or x.dtype.kind not in "buif":
            raise ModelError(
                f"the examples have shape {x.shape} of {x.dtype}: (N, {', '.join(map(str, self.shape))}) of numbers is "
                "what this model was trained on"
            )
        if self.dtype is not None and are_bytes_and_fractions(self.dtype, x.dtype):
            raise ModelError(
                f"the examples are {x.dtype}, and this model was trained on {self.dtype}: convert them, as bytes are "
                "from 0 to 255, and fractions usually from 0 to 1"
            )
        flat = x.reshape(len(x), -1)
        if self.mean.any():  # in float32, large numbers that differ little would become equal
            scaled = ((flat - self.mean) * self.scale).astype(np.float32)
        else:
            scaled = flat.astype(np.float32) * self.scale.astype(np.float32)
        return scaled.reshape(len(x), *self.network_shape)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that `from_json` reads."""
        return {
            "shape": list(self.shape),
            "network_shape": list(self.network_shape),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "dtype": self.dtype,
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
            mean=np.array(document["mean"], np.float64),
            scale=np.array(document["scale"], np.float64),
            dtype=None if document.get("dtype") is None else str(np.dtype(document["dtype"])),
        )


def choose_preprocessor(x: Any, *, is_encoded: bool = False) -> Preprocessor:  # noqa: ANN401 - an array
    """Return the preprocessor that suits the training examples.

    Pictures, that is (N, height, width), (N, channels, height, width) and MNIST's rows of 784 values from 0 to 255,
    become (channels, height, width) from 0 to 1. Of other examples, each value is scaled to mean 0 and standard
    deviation 1, unless they are inputs already (`is_encoded`).
    """
    shape = x.shape[1:]
    if len(shape) == 1 and not (shape == _MNIST and x.min() >= 0 and 1 < x.max() <= _WHITE):
        mean, scale = (np.zeros(1), np.ones(1)) if is_encoded else _standardising(x.astype(np.float64))
        return Preprocessor(shape=shape, network_shape=shape, mean=mean, scale=scale, dtype=str(x.dtype))
    picture = {1: (1, 28, 28), 2: (1, *shape), 3: shape}[len(shape)]
    white = 1.0 if x.dtype != np.uint8 and x.max() <= 1 else _WHITE
    return Preprocessor(
        shape=shape, network_shape=picture, mean=np.zeros(1), scale=np.array([1 / white]), dtype=str(x.dtype)
    )


def are_bytes_and_fractions(first: Any, second: Any) -> bool:  # noqa: ANN401 - dtypes or their names
    """Return whether one of two dtypes is uint8, and the other one is of floats: then the values differ in meaning."""
    found = {np.dtype(first), np.dtype(second)}
    return np.dtype(np.uint8) in found and any(dtype.kind == "f" for dtype in found)


def standardised(preprocessor: Preprocessor, x: Any) -> Preprocessor:  # noqa: ANN401 - an array
    """Return a preprocessor of pictures that gives the pixels of `x` as a whole mean 0 and standard deviation 1."""
    values = x.astype(np.float64)
    deviation = float(values.std()) or 1.0
    return replace(preprocessor, mean=np.array([values.mean()]), scale=np.array([1 / deviation]))


def _standardising(x: Any) -> tuple[Any, Any]:  # noqa: ANN401 - arrays
    unit = np.ldexp(
        1.0, np.frexp(np.abs(x).max(axis=0))[1] - 1
    )  # squares of large numbers would overflow; a power of 2 is exact
    first = x[0] / unit
    distances = x / unit - first
    deviation = distances.std(axis=0) * unit
    return (first + distances.mean(axis=0)) * unit, 1 / np.where(deviation > 0, deviation, 1)
