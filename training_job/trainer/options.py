"""The arguments of `python -m training_job.train`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_job.trainer.bagging.budget import EFFORTS, Quality, batch_size, epochs_of
from training_job.trainer.datasets.task import Task
from training_job.trainer.loop import SCHEDULES, Options
from training_job.trainer.steps import OPTIMIZERS

_BATCH = 100
_LEAST_PATIENCE = 8  # epochs
_LARGEST_SEED = (1 << 32) - 1  # the limit of NumPy's global generator


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; exit with 2 if they are invalid."""
    parser = argparse.ArgumentParser(prog="python -m training_job.train", description="Train a network on data.")
    add = parser.add_argument
    add("--data", type=Path, help="folder (or file) to train on; the folder in KEDJA_DATA by default")
    add("--label", help="column of the labels; by default label, target, class or y, else the last")
    add("--task", type=Task, choices=tuple(Task), help="what the labels are; by default decided by the labels")
    add("--group", help="column whose equal values are never both trained on and measured with")
    add(
        "--quality", type=Quality, choices=tuple(Quality), default=Quality.GOOD,
        help="how long to train: fast takes seconds, good at most a minute for 5,000 rows, best some minutes",
    )  # fmt: skip
    add("--steps", type=_positive_integer, help="updates of a network at most; by --quality and the data by default")
    add("--epochs", "-e", type=_positive_integer, help="trains one network for so many epochs, in place of --quality")
    add("--batchsize", "-b", type=_positive_integer, help="examples in a batch; by the size of the data by default")
    add("--output_dir", "-o", type=Path, default=Path("outputs"))
    add("--gpu_id", "-g", type=_integer, help="-1 is the CPU; by default the first GPU, if one is usable")
    add(
        "--network",
        help="mlp, cnn or one of --networks; by default cnn for pictures of 16 x 16 or more, else an ensemble",
    )
    add("--networks", type=Path, help="a Python file with networks; ./networks.py by default, if it exists")
    add("--hidden", type=_widths, help="widths of the hidden layers, such as 100,100")
    add("--dropout", type=_share, help="fraction of a hidden layer that is dropped while training")
    add("--option", type=_option, action="append", default=[], help="NAME=VALUE for the network; may be repeated")
    add("--optimizer", choices=tuple(OPTIMIZERS), help="adam by default")
    add("--learning-rate", "--learning_rate", type=_positive, help="the optimizer's own by default")
    add("--momentum", type=_share, default=0.9)
    add("--schedule", choices=tuple(SCHEDULES), default="cosine", help="of the learning rate")
    add("--shift", type=_not_negative, default=1, help="max pixels by which pictures are moved while training")
    add(
        "--patience", type=_not_negative,
        help="epochs without an improvement after which training ends; with --epochs 0 by default: never",
    )  # fmt: skip
    add("--mixed", action="store_true", help="compute in float16 on a GPU, update in float32")
    add("--resume", type=Path, help="model folder whose weights to start from")
    add("--seed", type=_seed, default=0)
    return parser.parse_args(argv)


def names_a_network(options: argparse.Namespace) -> bool:
    """Return whether the options say which network to train or how, so that one network is trained and no ensemble."""
    chosen = ("epochs", "batchsize", "network", "hidden", "dropout", "optimizer", "learning_rate", "patience", "resume")
    return options.mixed or bool(options.option) or any(getattr(options, name) is not None for name in chosen)


def loop_options(options: argparse.Namespace, rows: int) -> Options:
    """Return how one network is trained on `rows` examples."""
    effort = EFFORTS[options.quality]
    epochs, patience = options.epochs, options.patience
    size = options.batchsize or (_BATCH if epochs else min(_BATCH, batch_size(rows)))
    if epochs is None:
        epochs = epochs_of(rows, size, steps=options.steps, effort=effort)
        patience = max(_LEAST_PATIENCE, epochs // 3) if patience is None else patience
    return Options(
        epochs=epochs,
        batch_size=size,
        optimizer=options.optimizer or "adam",
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        schedule=options.schedule,
        shift=options.shift,
        seed=options.seed,
        patience=patience or 0,
        mixed=options.mixed,
    )


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _positive_integer(text: str) -> int:
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return value


def _not_negative(text: str) -> int:
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _seed(text: str) -> int:
    value = _not_negative(text)
    if value > _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is above {_LARGEST_SEED}")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return value


def _widths(text: str) -> list[int]:
    return [_positive_integer(part) for part in text.split(",") if part.strip()]


def _option(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
