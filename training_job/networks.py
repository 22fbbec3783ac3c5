"""The networks of the built-in trainer, in one registry.

A model file names its network and the options by these names.
"""

from collections.abc import Mapping, Sequence
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
        self._dropout = dropout
        size = 1
        for side in inputs:
            size *= side
        with self.init_scope():
            self.hidden = chainer.ChainList()
            for width in hidden:
                self.hidden.append(L.Linear(size, width))
                size = width
            self.output = L.Linear(size, classes)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        x = x.reshape(len(x), -1)
        for layer in self.hidden:
            x = F.dropout(F.relu(layer(x)), self._dropout)
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
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if len(inputs) != 3 or min(inputs[1:]) < 16:  # noqa: PLR2004 - what two convolutions and poolings leave over
            raise ModelError(f"network cnn takes pictures of at least 16 x 16, and these are {tuple(inputs)}: use mlp")
        self._dropout = dropout
        channels, *sides = inputs
        with self.init_scope():
            self.convolutions = chainer.ChainList()
            for count in filters:
                self.convolutions.append(L.Convolution2D(channels, count, ksize=5))
                channels = count
                sides = [-(-(side - 4) // 2) for side in sides]
            self.classifier = Mlp(inputs=(channels, *sides), classes=classes, hidden=hidden, dropout=dropout)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - NumPy, CuPy or a Variable
        for convolution in self.convolutions:
            x = F.max_pooling_2d(F.relu(convolution(x)), 2)
        return self.classifier(x)


REGISTRY: Mapping[str, type[chainer.Chain]] = {"mlp": Mlp, "cnn": Cnn}


def build(name: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Chainer has no types
    """Return a new network.

    Raises:
        ModelError: No network has this name, or it does not take these options.
    """
    if name not in REGISTRY:
        raise ModelError(f"no network is named {name!r}: one of {', '.join(REGISTRY)} is expected")
    try:
        return REGISTRY[name](**options)
    except TypeError as error:
        raise ModelError(f"network {name} does not take the options {dict(options)}: {error}") from error
