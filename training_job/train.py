"""`python -m training_job.train`: trains on dropped data where no script was dropped.

Writes `model.npz`, `model.json` (see `training_job.model_file`) and `metrics.json` of the best epoch to the output
folder. Ends with 65, and writes nothing, where the data cannot be trained on or the GPU asked for is not there.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from training_job import device, metrics, model_file, networks
from training_job.datasets import load
from training_job.errors import DatasetError, TrainingJobError
from training_job.files import write_json
from training_job.inputs import inputs_for
from training_job.training import OPTIMIZERS, SCHEDULES, Epoch, Options, Result, Trainer

REFUSED = 65
"""The exit code for input that is to blame itself: EX_DATAERR of sysexits.h."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say. Returns the exit code."""
    options = _parse(argv)
    try:
        _run(options)
    except TrainingJobError as error:
        metrics.failure(str(error), refused=True)
        print(f"training_job.train: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return REFUSED
    return 0


def _run(options: argparse.Namespace) -> None:
    place = device.choose(options.gpu_id)
    split = load(_data_folder(options), seed=options.seed)
    inputs = inputs_for(split.train.x)
    name = options.network or ("cnn" if _suits_cnn(inputs.network_shape) else "mlp")
    random.seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002 - what Chainer's initialisers and dropout draw from
    network_options: dict[str, Any] = {"inputs": list(inputs.network_shape), "classes": len(split.train.classes)}
    network_options |= {key: value for key in ("hidden", "dropout") if (value := getattr(options, key)) is not None}
    network = networks.build(name, network_options)
    training = Options(
        epochs=options.epochs,
        batch_size=options.batchsize,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        schedule=options.schedule,
        shift=options.shift,
        seed=options.seed,
    )
    _say(
        f"{name} on {place}: {len(split.train)} examples to train on, {len(split.held_out)} held out, "
        f"{len(split.train.classes)} classes"
    )
    result = Trainer(network, split, inputs, training, place).run(_reporter(training.epochs))
    description = model_file.Description(
        architecture=name, options=network_options, inputs=inputs, classes=split.train.classes
    )
    _write(options.output_dir, description, result)


def _data_folder(options: argparse.Namespace) -> Path:
    folder = options.data or os.environ.get("KEDJA_DATA")
    if folder is None:
        raise DatasetError("there is no data: name its folder with --data")
    return Path(folder)


def _suits_cnn(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and min(shape[1:]) >= 16  # noqa: PLR2004 - what networks.Cnn takes


def _reporter(epochs: int) -> Callable[[Epoch], None]:
    start = time.monotonic()

    def report(epoch: Epoch) -> None:
        values = {key: value for key, value in asdict(epoch).items() if key != "number"}
        metrics.log(values, step=epoch.number)
        shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
        _say(f"epoch {epoch.number}/{epochs}  {shown}  {time.monotonic() - start:.1f} s")

    return report


def _write(folder: Path, description: model_file.Description, result: Result) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model_file.save(folder, description, result.network)
    best = asdict(result.best)
    write_json(folder / "metrics.json", {"epoch": best.pop("number"), **best})
    _say(f"kept epoch {result.best.number}: accuracy {result.best.accuracy:.4f} on held-out examples")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training_job.train", description="Train a network on data.")
    add = parser.add_argument
    add("--data", type=Path, help="folder (or file) to train on; the folder in KEDJA_DATA by default")
    add("--epochs", "-e", type=_positive_integer, default=20)
    add("--batchsize", "-b", type=_positive_integer, default=100)
    add("--output_dir", "-o", type=Path, default=Path("outputs"))
    add("--gpu_id", "-g", type=int, help="-1 is the CPU; by default the first GPU, if one is usable")
    add("--network", choices=tuple(networks.REGISTRY), help="by default cnn for pictures of 16 x 16 or more, else mlp")
    add("--hidden", type=_widths, help="widths of the hidden layers, such as 100,100")
    add("--dropout", type=_share, help="share of a hidden layer that is left out while training")
    add("--optimizer", choices=tuple(OPTIMIZERS), default="adam")
    add("--learning-rate", "--learning_rate", type=_positive, help="the optimizer's own by default")
    add("--momentum", type=_share, default=0.9)
    add("--schedule", choices=tuple(SCHEDULES), default="cosine", help="of the learning rate")
    add("--shift", type=_not_negative, default=1, help="pixels a picture is moved by at most while training")
    add("--seed", type=_not_negative, default=0)
    return parser.parse_args(argv)


def _positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return value


def _widths(text: str) -> list[int]:
    return [_positive_integer(part) for part in text.split(",") if part.strip()]


if __name__ == "__main__":
    sys.exit(main())
