"""Trains one network, epoch by epoch: for pictures, and if the user chose a network or how to train it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job import checkpoints
from training_job.checkpoints import Store
from training_job.trainer import model_file, networks
from training_job.trainer.datasets.table import Split, Table
from training_job.trainer.figures import folds
from training_job.trainer.fitted import Curve, Fitted, scaled, target_of
from training_job.trainer.loop import Epoch, Options, Result, Trainer
from training_job.trainer.preprocessing import choose_preprocessor


@dataclass(frozen=True, kw_only=True)
class Single:
    """Trains a network that is named, or suits the examples.

    `network_options` are those that the user gave. `resume` is the model folder whose weights to start from.
    `checkpoints` is the folder of a job's checkpoints. `is_encoded` says that examples are a network's inputs already.
    `options` returns how to train for a number of examples.
    """

    network: str | None
    network_options: Mapping[str, Any]
    options: Callable[[int], Options]
    device: Any
    resume: Path | None
    checkpoints: str | None
    is_encoded: bool
    reporter: Callable[[Options], tuple[Callable[[Epoch], None], Callable[[int, float], None]]]

    @property
    def is_cheap(self) -> bool:
        """See `Method`."""
        return False

    def fit(self, train: Table, validation: Table | None, *, is_final: bool) -> Fitted:  # noqa: ARG002 - it always is
        """See `Method`. Without validation examples, a fifth of the others is held out for it."""
        if validation is None:
            part = folds.hold_out(train, seed=self._seed)
            train, validation = train.take(part.train), train.take(part.held_out)
        preprocessor, target = choose_preprocessor(train.x, is_encoded=self.is_encoded), target_of(train)
        name = self.network or ("cnn" if suits_cnn(preprocessor.network_shape) else "mlp")
        chosen = {"inputs": list(preprocessor.network_shape), "classes": len(train.classes) or 1}
        chosen |= self.network_options
        options = self.options(len(train))
        network = _network(name, chosen, options)
        if self.resume is not None:
            model_file.load_weights(self.resume / model_file.WEIGHTS, network)
        report, watch = self.reporter(options)
        split = Split(train=scaled(train, target), held_out=scaled(validation, target))
        trainer = Trainer(network, split, preprocessor, options, self.device, store=self._store(), watch=watch)
        result = trainer.run(report)
        return Fitted(
            network=result.network,
            architecture=name,
            options=chosen,
            preprocessor=preprocessor,
            target=target,
            metrics={"epoch": result.best.number, **result.best.values()},
            curves=_curves(result),
            history={"epochs": [{"number": epoch.number, **epoch.values()} for epoch in result.epochs]},
            last=result.last,
            decision=f"the model is epoch {result.best.number} of {len(result.epochs)}, the best on validation data",
        )

    @property
    def _seed(self) -> int:
        return self.options(1).seed

    def _store(self) -> Store | None:
        folder = self.checkpoints
        return None if folder is None else Store(Path(folder) / f"{checkpoints.LOOP_PREFIX}built-in")


def suits_cnn(shape: tuple[int, ...]) -> bool:
    """Return whether an example's shape is that of a picture which `networks.Cnn` takes."""
    return len(shape) == 3 and min(shape[1:]) >= 16  # noqa: PLR2004 - two convolutions and poolings need this size


def _network(name: str, chosen: Mapping[str, Any], options: Options) -> Any:  # noqa: ANN401 - Chainer has no types
    with chainer.using_config("dtype", chainer.mixed16 if options.mixed else np.float32):
        return networks.build(name, chosen)


def _curves(result: Result) -> list[Curve]:
    epochs, kept = result.epochs, result.best.number
    curves = [
        Curve(
            title="loss by epoch",
            training=[epoch.loss for epoch in epochs],
            validation=[epoch.validation_loss for epoch in epochs],
            kept=kept,
        )
    ]
    accuracies = [
        (epoch.train_accuracy, epoch.validation_accuracy)
        for epoch in epochs
        if epoch.train_accuracy is not None and epoch.validation_accuracy is not None
    ]
    if accuracies:
        training, validation = zip(*accuracies, strict=True)
        curves.append(replace(curves[0], title="accuracy by epoch", training=training, validation=validation))
    return curves
