"""The networks of the built-in trainer, and the registry of their names.

A model file refers to its network and its options by these names.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import chainer.links as L  # noqa: N812 - as everyone writes it

from training_job.errors import ModelError


class Mlp(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """Fully connected layers with ReLU between them. The defaults are 784-100-100-10 for MNIST.

    Takes (N, …), float32; returns the classes' scores before softmax, (N, classes).
    """

    def __init__(
        self, *, inputs: Sequence[int], classes: int, hidden: Sequence[int] = (100, 100), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        size = 1
        for side in inputs:
            size *= side
        self._size = size
        with self.init_scope():
            self.hidden = chainer.ChainList()
            for width in hidden:
                self.hidden.append(L.Linear(size, width))
                size = width
            self.output = L.Linear(size, classes)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        """Return the scores, (N, classes), of inputs (N, …), float32."""
        x = x.reshape(-1, self._size)  # not by len(x), which would be a constant in an export
        for layer in self.hidden:
            x = F.dropout(F.relu(layer(x)), self.dropout)
        return self.output(x)


class Cnn(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """Two convolutions with pooling, then fully connected layers.

    Takes pictures (N, channels, height, width), float32, at least 16 x 16; returns (N, classes) as `Mlp` does.
    """

    def __init__(
        self,
        *,
        inputs: Sequence[int],
        classes: int,
        hidden: Sequence[int] = (128,),
        filters: Sequence[int] = (16, 32),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if len(inputs) != 3 or min(inputs[1:]) < 16:  # noqa: PLR2004 - two convolutions and poolings need this size
            raise ModelError(f"network cnn takes pictures of at least 16 x 16, and these are {tuple(inputs)}: use mlp")
        self.dropout = dropout
        channels, *sides = inputs
        with self.init_scope():
            self.convolutions = chainer.ChainList()
            for count in filters:
                self.convolutions.append(L.Convolution2D(channels, count, ksize=5))
                channels = count
                sides = [-(-(side - 4) // 2) for side in sides]
            self.classifier = Mlp(inputs=(channels, *sides), classes=classes, hidden=hidden, dropout=dropout)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        """Return the scores, (N, classes), of pictures (N, channels, height, width), float32."""
        for convolution in self.convolutions:
            x = F.max_pooling_2d(F.relu(convolution(x)), 2)
        return self.classifier(x)


class Ensemble(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """The mean of the outputs of several `Mlp`. `members` has the widths of the hidden layers of each.

    Takes (N, …), float32; returns (N, classes) as `Mlp` does.
    """

    def __init__(self, *, inputs: Sequence[int], classes: int, members: Sequence[Sequence[int]]) -> None:
        super().__init__()
        if not members:
            raise ModelError("network ensemble has no members: name the widths of one at least")
        with self.init_scope():
            self.members = chainer.ChainList(*(Mlp(inputs=inputs, classes=classes, hidden=one) for one in members))

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        """Return the means, (N, classes), of inputs (N, …), float32."""
        first, *others = self.members
        total = first(x)
        for member in others:
            total = total + member(x)
        return total * (1 / len(self.members))


class Scaled(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """A network of a quantity that was trained on `(quantity - mean) / scale`: its outputs in the target's units."""

    def __init__(self, network: Any, *, mean: float, scale: float) -> None:  # noqa: ANN401 - Chainer has no types
        super().__init__()
        self.mean, self.scale = mean, scale
        with self.init_scope():
            self.network = network

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        """Return the quantities, (N, 1), of inputs (N, …), float32."""
        return self.network(x) * self.scale + self.mean


BUILT_IN = ("mlp", "cnn", "ensemble")

REGISTRY: dict[str, type[chainer.Chain]] = {"mlp": Mlp, "cnn": Cnn, "ensemble": Ensemble}

FILE = "networks.py"
"""The file in the working directory from which the user's own networks are loaded."""


def load_file(path: Path) -> list[str]:
    """Add the networks of a Python file to the registry, each under its class's name in lower case. Return the names.

    A network is a Chain that takes the keywords `inputs` (the shape of one input) and `classes` (their number), and any
    other keywords with defaults. This runs the file.

    Raises:
        ModelError: The file cannot be loaded, contains no network, or one with a built-in name.
    """
    module = import_file(path)
    found = {
        name.lower(): value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, chainer.Chain) and value.__module__ == module.__name__
    }
    if not found:
        raise ModelError(f"{path} holds no class derived from chainer.Chain")
    taken = sorted(found.keys() & set(BUILT_IN))
    if taken:
        raise ModelError(f"{path} has a network named {taken[0]!r}, as Kedja has: give it another name")
    REGISTRY.update(found)
    return sorted(found)


def import_file(path: Path) -> ModuleType:
    """Run a Python file as a module that can import files in the same folder.

    Raises:
        ModelError: The file does not exist, or raises an error.
    """
    if not path.is_file():
        raise ModelError(f"{str(path)!r} is no file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{str(path)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def build(name: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Chainer has no types
    """Return a new network with initial weights.

    Raises:
        ModelError: No network has this name, or it does not take these options.
    """
    if name not in REGISTRY:
        raise ModelError(
            f"no network is named {name!r}: one of {', '.join(REGISTRY)} is expected, or one of a file that --networks "
            "names"
        )
    try:
        return REGISTRY[name](**options)
    except TypeError as error:
        raise ModelError(f"network {name} does not take the options {dict(options)}: {error}") from error
