"""`python -m training_job.train`: trains on dropped data if no script was dropped.

Writes to the output folder `model.npz`, `model.json` (see `training_job.trainer.model_file`), `input.json` (see
`training_job.trainer.datasets.inputs`) and `metrics.json` of the best epoch, the last epoch's weights (`last.npz`), two
pictures (`curves.png`, `confusion_matrix.png`), `model.onnx` if `onnx` is installed, and `predictions.csv` if there is
a test file without labels. Exits with 65, and writes nothing, if the data cannot be trained on or the requested GPU is
not available. A job that is started again continues from its last checkpoint.
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

import chainer
import numpy as np

from training_job import checkpoints, device, metrics, mpi_env
from training_job.atomic_write import open_atomic, write_json
from training_job.checkpoints import Store
from training_job.errors import EXIT_INVALID_INPUT, DatasetError, DeviceError, TrainingJobError
from training_job.trainer import evaluation, model_file, networks, onnx_file, plots, predictions
from training_job.trainer.datasets import inputs
from training_job.trainer.datasets.finder import find
from training_job.trainer.datasets.table import Choice, Dataset, Split, hold_out
from training_job.trainer.datasets.task import Task
from training_job.trainer.loop import Epoch, Options, Result, Trainer
from training_job.trainer.options import parse
from training_job.trainer.preprocessing import Preprocessor, choose_preprocessor
from training_job.trainer.progress import ProgressBar


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say. Return the exit code: 65 if the data, the network or the GPU cannot be used."""
    options = parse(argv)
    if mpi_env.rank() > 0:
        _say(f"rank {mpi_env.rank()} has nothing to do: the built-in trainer trains in rank 0 alone")
        return 0
    try:
        _run(options)
    except TrainingJobError as error:
        metrics.failure(str(error), refused=True)
        print(f"training_job.train: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return EXIT_INVALID_INPUT
    return 0


def _run(options: argparse.Namespace) -> None:
    target = device.choose(options.gpu_id)
    if options.mixed and isinstance(target, chainer.backend.CpuDevice):
        raise DeviceError("--mixed needs a GPU: a CPU computes in float32")
    source = _networks_file(options.networks)
    data = find(_data_folder(options), Choice(label=options.label, task=options.task))
    for note in data.notes:
        metrics.note(note)
        _say(note)
    split = _split(data, options.seed)
    preprocessor = choose_preprocessor(split.train.x, is_encoded=data.is_encoded)
    description = _description(options, split, preprocessor, source)
    random.seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002 - what Chainer's initialisers and dropout draw from
    with chainer.using_config("dtype", chainer.mixed16 if options.mixed else np.float32):
        network = networks.build(description.architecture, description.options)
    if options.resume is not None:
        model_file.load_weights(options.resume / model_file.WEIGHTS, network)
    _say(
        f"{description.architecture} on {target}: {len(split.train)} examples to train on, {len(split.held_out)} held "
        f"out, {len(split.train.classes)} classes"
    )
    bar = ProgressBar(options.epochs)
    trainer = Trainer(network, split, preprocessor, _training_options(options), target, store=_store(), watch=bar.show)
    result = trainer.run(_reporter(options.epochs, bar))
    _write(options.output_dir, description, result, split, source)
    inputs.save(options.output_dir, data.inputs)
    if data.unlabelled is not None:
        predictions.write(options.output_dir, result.network, preprocessor, description.classes, data.unlabelled)


def _split(data: Dataset, seed: int) -> Split:
    """Return the user's own test data, or else a fifth of each class, as held out."""
    if data.train.task is Task.REGRESSION:
        raise DatasetError(
            f"{data.train.source} has a quantity as label, and this version trains on classes only: give --task "
            "classification if the numbers are classes"
        )
    if data.test is not None:
        return Split(train=data.train, held_out=data.test)
    return hold_out(data.train, seed=seed)


def _networks_file(named: Path | None) -> Path | None:
    """Load the user's networks; return their file, or None if there is none."""
    path = named or Path(networks.FILE)
    if named is None and not path.is_file():
        return None
    _say(f"networks of {path}: {', '.join(networks.load_file(path))}")
    return path


def _description(
    options: argparse.Namespace, split: Split, preprocessor: Preprocessor, source: Path | None
) -> model_file.Description:
    name = options.network or ("cnn" if _suits_cnn(preprocessor.network_shape) else "mlp")
    chosen: dict[str, Any] = {"inputs": list(preprocessor.network_shape), "classes": len(split.train.classes)}
    chosen |= {key: value for key in ("hidden", "dropout") if (value := getattr(options, key)) is not None}
    chosen |= dict(options.option)
    is_own = source is not None and name not in networks.BUILT_IN
    return model_file.Description(
        architecture=name,
        options=chosen,
        preprocessor=preprocessor,
        classes=split.train.classes,
        networks=networks.FILE if is_own else None,
    )


def _training_options(options: argparse.Namespace) -> Options:
    return Options(
        epochs=options.epochs,
        batch_size=options.batchsize,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        schedule=options.schedule,
        shift=options.shift,
        seed=options.seed,
        patience=options.patience,
        mixed=options.mixed,
    )


def _data_folder(options: argparse.Namespace) -> Path:
    folder = options.data or os.environ.get("KEDJA_DATA")
    if folder is None:
        raise DatasetError("there is no data: name its folder with --data")
    return Path(folder)


def _store() -> Store | None:
    folder = os.environ.get(checkpoints.FOLDER_VARIABLE)
    return None if folder is None else Store(Path(folder) / f"{checkpoints.LOOP_PREFIX}built-in")


def _suits_cnn(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and min(shape[1:]) >= 16  # noqa: PLR2004 - the pictures that networks.Cnn accepts


def _reporter(epochs: int, bar: ProgressBar) -> Callable[[Epoch], None]:
    start = time.monotonic()

    def report(epoch: Epoch) -> None:
        values = {key: value for key, value in asdict(epoch).items() if key != "number"}
        metrics.log(values, step=epoch.number)
        shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
        bar.clear()
        _say(f"epoch {epoch.number}/{epochs}  {shown}  {time.monotonic() - start:.1f} s")

    return report


def _write(
    folder: Path, description: model_file.Description, result: Result, split: Split, source: Path | None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    counts = evaluation.confusion_matrix(result.network, split.held_out, description.preprocessor)
    plots.confusion_matrix(counts, description.classes, folder / "confusion_matrix.png")
    plots.curves(result.epochs, result.best.number, folder / "curves.png")
    with open_atomic(folder / "last.npz") as stream:
        np.savez_compressed(stream, **result.last)
    if description.networks is not None and source is not None:
        content = source.read_bytes()
        with open_atomic(folder / description.networks) as stream:
            stream.write(content)
    if onnx_file.is_possible():
        problem = onnx_file.write(folder, result.network, description.preprocessor)
        if problem is not None:
            _say(f"no {onnx_file.NAME}: {problem}")
    model_file.save(folder, description, result.network)
    best = asdict(result.best)
    history = [asdict(epoch) for epoch in result.epochs]
    write_json(
        folder / "metrics.json",
        {"epoch": best.pop("number"), **best, "confusion_matrix": counts.tolist(), "epochs": history},
    )
    _say(f"kept epoch {result.best.number}: accuracy {result.best.accuracy:.4f} on held-out examples")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output


if __name__ == "__main__":
    sys.exit(main())
