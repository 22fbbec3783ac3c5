"""`python -m training_job.score`: loads a model and scores examples with it.

    python -m training_job.score --model FOLDER --data FILE.npz
    python -m training_job.score --model FOLDER --networks FOLDER/networks.py --data FILE.npz
    python -m training_job.score --model FOLDER --network FILE.py:Class --data FILE.npz

The second form is for a network of a user's file that the built-in trainer trained. The third is for a script's own
network: the class is loaded from the script's file, made without arguments, and filled with the weights of
`model.npz`; it gets the examples of the file as float32, divided by 255 if they are uint8. Both forms run the file:
name only a file that you trust.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job import device
from training_job.errors import EXIT_INVALID_INPUT, ModelError, TrainingJobError
from training_job.trainer import model_file, networks
from training_job.trainer.datasets import arrays, examples, inputs, npz
from training_job.trainer.datasets.split_names import Part
from training_job.trainer.datasets.table import Unlabelled
from training_job.trainer.figures.scores import r2
from training_job.trainer.preprocessing import Preprocessor

_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network that scores examples. `classes` is empty if the model folder does not name them.

    `predicts_quantity` is set if the network's output is a quantity, in the target's units.
    """

    network: Any
    preprocessor: Preprocessor | None
    classes: tuple[str, ...]
    device: Any
    predicts_quantity: bool = False

    def scores(self, x: Any) -> Any:  # noqa: ANN401 - arrays
        """Return the probability of each class, float32 (N, classes), for raw examples (N, …).

        Of a model that predicts a quantity, return the quantities, float32 (N, 1).

        Raises:
            ModelError: There are no examples, or they do not have the shape that the model takes.
        """
        x = np.asarray(x)
        parts = [self._batch(x[start : start + _BATCH]) for start in range(0, len(x), _BATCH)]
        if not parts:
            raise ModelError("there is no example to score")
        return np.concatenate(parts)

    def predict(self, x: Any) -> Any:  # noqa: ANN401 - arrays
        """Return the number of the likeliest class for each raw example (N, …), int64 (N,), or the quantities, float32.

        Raises:
            ModelError: See `scores`.
        """
        found = self.scores(x)
        return found[:, 0] if self.predicts_quantity else found.argmax(axis=1)

    def _batch(self, x: Any) -> Any:  # noqa: ANN401 - arrays
        batch = _as_float32(x) if self.preprocessor is None else self.preprocessor.prepare(x)
        with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
            try:
                logits = self.network(self.device.send(batch))
            except (ValueError, chainer.utils.type_check.InvalidType) as error:
                name = type(self.network).__name__
                text = " ".join(str(error).split())
                raise ModelError(f"{name} does not take examples of shape {batch.shape[1:]}: {text}") from error
            found = logits if self.predicts_quantity else chainer.functions.softmax(logits)
            return chainer.get_device("@numpy").send(found.array)


def _as_float32(x: Any) -> Any:  # noqa: ANN401 - arrays
    if x.dtype == np.uint8:
        return x.astype(np.float32) / 255
    return x.astype(np.float32)


def load_model(folder: Path, *, network: str | None = None, gpu: int | None = device.CPU) -> Model:
    """Load a model folder by its model.json or, if `network` is `FILE.py:Class`, a script's own network.

    `gpu` is -1 for the CPU, and None for the first GPU if there is one.

    Raises:
        ModelError: Something is missing, damaged, or does not fit.
        DeviceError: The requested GPU is not available.
    """
    target = device.choose(gpu)
    quantity: model_file.Target | None = None
    if network is None:
        description, chain = model_file.load(folder)
        preprocessor, classes, quantity = description.preprocessor, description.classes, description.target
        if quantity is not None:
            chain = networks.Scaled(chain, mean=quantity.mean, scale=quantity.scale)
    else:
        chain, preprocessor, classes = _script_network(network), None, ()
        model_file.load_weights(folder / model_file.WEIGHTS, chain)
    chain.to_device(target)
    return Model(
        network=chain,
        preprocessor=preprocessor,
        classes=classes,
        device=target,
        predicts_quantity=quantity is not None,
    )


def _script_network(name: str) -> Any:  # noqa: ANN401 - Chainer has no types
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"--network {name}: {file!r} is no file; FILE.py:Class is expected")
    module = networks.import_file(path)
    network = getattr(module, class_name, None)
    if not (isinstance(network, type) and issubclass(network, chainer.Link)):
        raise ModelError(f"--network {name}: {path.name} has no Chainer network named {class_name!r}")
    return network()


def main(argv: Sequence[str] | None = None) -> int:
    """Print `{"count": …, "accuracy": …}` (`r2` of a quantity), without labels `predictions`. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training_job.score", description="Score examples with a model.")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.npz, and model.json")
    parser.add_argument("--data", type=Path, required=True, help="raw examples, as the training data, or .npz")
    parser.add_argument("--network", help="FILE.py:Class, if the model is a script's own network")
    parser.add_argument("--networks", type=Path, help="the file of the network that model.json names")
    parser.add_argument("--gpu_id", "-g", type=int, default=device.CPU, help="-1 is the CPU, the default")
    options = parser.parse_args(argv)
    try:
        x, y = _examples(options)
        if options.networks is not None:
            networks.load_file(options.networks)
        model = load_model(options.model, network=options.network, gpu=options.gpu_id)
        found = model.predict(x)
    except TrainingJobError as error:
        print(f"training_job.score: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return EXIT_INVALID_INPUT
    document: dict[str, Any] = {"count": len(found)}
    if y is None:
        named = (model.classes[number] for number in found) if model.classes else found.tolist()
        document["predictions"] = list(named)
    elif model.predicts_quantity:
        document["r2"] = round(r2(found.astype(np.float64), y.astype(np.float64)), 6)
    else:
        document["accuracy"] = round(float(np.mean(found == y)), 6)
    print(json.dumps(document, ensure_ascii=False))  # noqa: T201 - the command's output
    return 0


def _examples(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return examples, and the numbers of their classes or None."""
    described = None if options.network is not None else inputs.load(options.model)
    if described is None:  # a script's own network, or a model that is older than input.json
        return arrays.read(npz.read(options.data)[Part.TRAIN])
    table = examples.read(options.data, described)
    return table.x, None if isinstance(table, Unlabelled) else table.y


if __name__ == "__main__":
    sys.exit(main())
