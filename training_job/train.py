"""`python -m training_job.train`: trains on dropped data if no script was dropped.

Writes to the output folder `model.npz`, `model.json` (see `training_job.trainer.model_file`), `input.json` (see
`training_job.trainer.datasets.inputs`), `metrics.json`, pictures (`curves.png`, and `confusion_matrix.png` or
`residuals.png`), `model.onnx` if `onnx` and `onnxruntime` are installed (see `training_job.trainer.onnx_file`), and
`predictions.csv` if there is a test file without labels. Of a single network, the last epoch's weights are in
`last.npz`. Exits with 65, and writes nothing, if the data cannot be trained on or the requested GPU is not available. A
job that is started again continues from its last checkpoint.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job import checkpoints, device, metrics, mpi_env
from training_job.atomic_write import open_atomic, write_json
from training_job.errors import EXIT_INVALID_INPUT, DatasetError, DeviceError, TrainingJobError
from training_job.trainer import model_file, networks, onnx_file, predictions
from training_job.trainer.bagging.method import Bagging
from training_job.trainer.datasets import inputs
from training_job.trainer.datasets.finder import find
from training_job.trainer.datasets.table import Choice, Dataset, Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import plots, scores
from training_job.trainer.figures.assessment import Assessment, assess, warnings_about
from training_job.trainer.fitted import Fitted, Method
from training_job.trainer.loop import Epoch, Options
from training_job.trainer.options import loop_options, names_a_network, parse
from training_job.trainer.preprocessing import choose_preprocessor
from training_job.trainer.progress import ProgressBar
from training_job.trainer.single import Single, suits_cnn


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
    data = find(_data_folder(options), Choice(label=options.label, task=options.task, group=options.group))
    for note in data.notes:
        _note(note)
    _seed(options.seed, target)
    method = _method(options, data, target)
    warnings = warnings_about(data, seed=options.seed)
    kind = f"{len(data.train.classes)} classes" if data.train.task is Task.CLASSIFICATION else "a quantity"
    _say(f"{_name_of(method)}: {len(data.train)} examples, {kind}")
    fitted, assessment = assess(data, method, seed=options.seed)
    figures = assessment.figures()
    measured = assessment.notes(figures)
    notes = [*measured, fitted.decision, *warnings, *data.notes]
    _write(options.output_dir, fitted, assessment, {**figures, "notes": notes}, source)
    inputs.save(options.output_dir, data.inputs)
    if data.unlabelled is not None:
        classes = data.train.classes
        predictions.write(options.output_dir, fitted.whole, fitted.preprocessor, classes, data.unlabelled)
    metrics.log(figures)
    _note(measured[0], first=True)
    for note in (*measured[1:], fitted.decision, *warnings):
        _note(note)
    if onnx_file.is_possible():
        sentence = onnx_file.write(options.output_dir, fitted, data.train.x, assessment.table)
        if sentence is not None:
            _say(sentence)


def _note(text: str, *, first: bool = False) -> None:
    metrics.note(text, first=first)
    _say(text)


def _seed(seed: int, target: Any) -> None:  # noqa: ANN401 - Chainer has no types
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what Chainer's initialisers and dropout draw from
    if isinstance(target, chainer.backend.GpuDevice):
        target.use()
        target.xp.random.seed(seed)


def _networks_file(named: Path | None) -> Path | None:
    """Load the user's networks; return their file, or None if there is none."""
    path = named or Path(networks.FILE)
    if named is None and not path.is_file():
        return None
    _say(f"networks of {path}: {', '.join(networks.load_file(path))}")
    return path


def _method(options: argparse.Namespace, data: Dataset, target: Any) -> Method:  # noqa: ANN401 - Chainer has no types
    preprocessor = choose_preprocessor(data.train.x, is_encoded=data.is_encoded)
    if not names_a_network(options) and not suits_cnn(preprocessor.network_shape):
        return Bagging(
            quality=options.quality,
            steps=options.steps,
            seed=options.seed,
            is_encoded=data.is_encoded,
            shift=options.shift,
        )
    chosen = {key: value for key in ("hidden", "dropout") if (value := getattr(options, key)) is not None}
    return Single(
        network=options.network,
        network_options=chosen | dict(options.option),
        options=lambda rows: loop_options(options, rows),
        device=target,
        resume=options.resume,
        checkpoints=os.environ.get(checkpoints.FOLDER_VARIABLE),
        is_encoded=data.is_encoded,
        reporter=_reporter,
    )


def _name_of(method: Method) -> str:
    if isinstance(method, Single):
        return f"{method.network or 'one network'} on {method.device}"
    return "an ensemble on the CPU"


def _data_folder(options: argparse.Namespace) -> Path:
    folder = options.data or os.environ.get("KEDJA_DATA")
    if folder is None:
        raise DatasetError("there is no data: name its folder with --data")
    return Path(folder)


def _reporter(options: Options) -> tuple[Callable[[Epoch], None], Callable[[int, float], None]]:
    start = time.monotonic()
    bar = ProgressBar(options.epochs)

    def report(epoch: Epoch) -> None:
        values = epoch.values()
        metrics.log(values, step=epoch.number)
        shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
        bar.clear()
        _say(f"epoch {epoch.number}/{options.epochs}  {shown}  {time.monotonic() - start:.1f} s")

    return report, bar.show


def _write(
    folder: Path,
    fitted: Fitted,
    assessment: Assessment,
    figures: Mapping[str, Any],
    source: Path | None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    details = _pictures(folder, fitted, assessment)
    if fitted.last is not None:
        with open_atomic(folder / "last.npz") as stream:
            np.savez_compressed(stream, **fitted.last)
    is_own = source is not None and fitted.architecture not in networks.BUILT_IN
    if is_own and source is not None:
        content = source.read_bytes()
        with open_atomic(folder / networks.FILE) as stream:
            stream.write(content)
    description = model_file.Description(
        architecture=fitted.architecture,
        options=fitted.options,
        preprocessor=fitted.preprocessor,
        classes=assessment.table.classes,
        networks=networks.FILE if is_own else None,
        target=fitted.target,
    )
    model_file.save(folder, description, fitted.network)
    measured = {"split": assessment.split, "examples": len(assessment.table)}
    document = {**fitted.metrics, **figures, "measured": measured, **details, **fitted.history}
    write_json(folder / "metrics.json", document)


def _pictures(folder: Path, fitted: Fitted, assessment: Assessment) -> dict[str, Any]:
    """Draw the pictures; return what `metrics.json` has of each class."""
    plots.curves(fitted.curves, folder / "curves.png")
    table: Table = assessment.table
    if table.task is Task.REGRESSION:
        plots.residuals(assessment.predicted, table.y, folder / "residuals.png")
        return {}
    counts = scores.confusion_matrix(assessment.predicted, table.y, len(table.classes))
    plots.confusion_matrix(counts, table.classes, folder / "confusion_matrix.png")
    return {"confusion_matrix": counts.tolist(), "per_class": scores.per_class(counts, table.classes)}


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output


if __name__ == "__main__":
    sys.exit(main())
