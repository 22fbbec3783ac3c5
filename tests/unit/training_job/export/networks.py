"""Networks in the styles of Chainer's users, and their export as a process does it when it ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chainer
import chainer.distributions as D  # noqa: N812 - as everyone writes it
import chainer.functions as F  # noqa: N812 - as everyone writes it
import chainer.links as L  # noqa: N812 - as everyone writes it
import numpy as np
from chainer import serializers

from training_job.export import saved_networks
from training_job.export.exports import Exports
from training_job.export.options import Options
from training_job.export.recorded_calls import CALLS
from training_job.export.saved_networks import SavedLink
from training_job.export.weights import Format
from training_job.hooks import link_calls

Array = Any


def pictures(count: int = 6, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0, 1, (count, 3, 8, 8)).astype("f")


def rows(count: int = 6, width: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-2, 2, (count, width)).astype("f")


def labels(count: int = 6) -> Array:
    return (np.arange(count) % 3).astype("i")


class Mlp(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(4, 4)
            self.l2 = L.Linear(4, 3)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
        return self.l2(F.relu(self.l1(x)))


class OldStyle(chainer.Chain):  # type: ignore[misc]  # as above
    """As in Chainer 1 to 4, with a flag for training."""

    def __init__(self) -> None:
        super().__init__(c=L.Convolution2D(3, 4, 3), bn=L.BatchNormalization(4), fc=L.Linear(None, 3))

    def __call__(self, x: Any, train: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as of Chainer 1
        h = F.max_pooling_2d(F.relu(self.bn(self.c(x))), 2)
        return self.fc(F.dropout(h) if train else h)


class OwnLoss(chainer.Chain):  # type: ignore[misc]  # as above
    """`__call__(x, t)` returns the loss."""

    def __init__(self) -> None:
        super().__init__(l1=L.Linear(4, 4), l2=L.Linear(4, 3))

    def __call__(self, x: Any, t: Any) -> Any:  # noqa: ANN401 - as above
        y = self.l2(F.tanh(self.l1(x)))
        self.accuracy = F.accuracy(y, t)
        return F.softmax_cross_entropy(y, t)


class Regression(OwnLoss):
    """Its loss is arithmetic."""

    def __call__(self, x: Any, t: Any) -> Any:  # noqa: ANN401 - as above
        y = F.sum(self.l2(F.tanh(self.l1(x))), axis=1)
        return F.mean((y - t) ** 2) + 0.01 * F.sum(self.l1.W**2)


class Generator(chainer.Chain):  # type: ignore[misc]  # as above
    """Reshapes by the size of its batch, and adds a constant of that size."""

    def __init__(self) -> None:
        super().__init__(l0=L.Linear(5, 12), dc=L.Deconvolution2D(3, 2, 4, 2, 1))

    def __call__(self, z: Any) -> Any:  # noqa: ANN401 - as above
        h = F.reshape(self.l0(z), (len(z), 3, 2, 2))
        state = chainer.Variable(np.full((len(z), 3, 1, 1), 0.5, "f"))
        return F.sigmoid(self.dc(h + F.broadcast_to(state, h.shape)))


class Discriminator(chainer.Chain):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        super().__init__(fc=L.Linear(None, 1))

    def __call__(self, x: Any) -> Any:  # noqa: ANN401 - as above
        return self.fc(F.leaky_relu(x))


class Encoder(chainer.Chain):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        super().__init__(mu=L.Linear(4, 2), ln_var=L.Linear(4, 2))

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
        return D.Independent(D.Normal(loc=self.mu(x), log_scale=self.ln_var(x)))


class Decoder(chainer.Chain):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        super().__init__(fc=L.Linear(2, 4))

    def forward(self, z: Any) -> Any:  # noqa: ANN401 - as above
        return self.fc(z, n_batch_axes=2)


class Vae(chainer.Chain):  # type: ignore[misc]  # as above
    """Only returns a loss, of its input alone."""

    def __init__(self) -> None:
        super().__init__(encoder=Encoder(), decoder=Decoder())

    def __call__(self, x: Any) -> Any:  # noqa: ANN401 - as above
        y = self.decoder(self.encoder(x).sample(1))
        return F.mean((y - F.broadcast_to(x[None], y.shape)) ** 2)


class Methods(chainer.Chain):  # type: ignore[misc]  # as above
    """A VAE of one class, with a method for each part, whose function for the loss belongs to no Link."""

    def __init__(self) -> None:
        super().__init__(mu=L.Linear(4, 2), ln_var=L.Linear(4, 2), fc=L.Linear(2, 4))

    def encode(self, x: Any) -> Any:  # noqa: ANN401 - as above
        return self.mu(x), self.ln_var(x)

    def decode(self, z: Any, sigmoid: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as above
        return F.sigmoid(self.fc(z)) if sigmoid else self.fc(z)

    def loss(self) -> Any:  # noqa: ANN401 - as above
        def function(x: Any) -> Any:  # noqa: ANN401 - as above
            mu, ln_var = self.encode(x)
            return F.bernoulli_nll(x, self.decode(F.gaussian(mu, ln_var), sigmoid=False))

        return function


class Recurrent(chainer.Chain):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        super().__init__(norm=L.LayerNormalization(4), rnn=L.LSTM(4, 3))

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
        return self.rnn(self.norm(x))


def export(folder: Path, links: Mapping[str, Any], options: Options | None = None) -> Exports:
    """Save Links to files of these names, and export them as the script's process does when it ends."""
    saved = []
    for name, link in links.items():
        serializers.save_npz(str(folder / name), link)
        saved.append(SavedLink(link=link, path=folder / name, format=Format.NPZ, name=Path(name).stem))
    return export_saved(folder, saved, options)


def export_saved(folder: Path, saved: list[SavedLink], options: Options | None = None) -> Exports:
    """Export Links that were saved. As in a process that ends, no more calls are recorded."""
    state = link_calls._state
    state.is_recording = False
    try:
        return saved_networks.export(saved, CALLS, folder / "export", options or Options())
    finally:
        state.is_recording = True


for _class in (
    Mlp, OldStyle, OwnLoss, Regression, Generator, Discriminator, Encoder, Decoder, Vae, Methods, Recurrent,
):  # fmt: skip
    link_calls.wrap(_class)
