"""`model.onnx`: the trained network for other runtimes, from examples to the probabilities of classes, or a quantity.

It takes examples as the network was trained on (`Table.x`: pictures and arrays are raw, rows of a table encoded), with
their dtype, so that bytes and fractions cannot be mixed up: ONNX Runtime refuses another one. Its metadata has
`classes` (a JSON list, of a classification), `dtype` and `range` (the smallest and largest value of an example).
"""

import copy
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import numpy as np

from training_job import metrics
from training_job.errors import ExportError
from training_job.export import exports
from training_job.export.entry import Entry
from training_job.export.exports import Exports, Failure, Source
from training_job.export.options import Onnx, Options
from training_job.export.recorded_calls import ArrayArgument, CallGroup
from training_job.trainer import model_file
from training_job.trainer.datasets.table import Table
from training_job.trainer.fitted import Fitted
from training_job.trainer.preprocessing import Preprocessor

NAME = "model.onnx"


class RawNetwork(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """A network that takes examples (N, *shape) and returns the probabilities of classes, or a quantity."""

    def __init__(self, network: Any, preprocessor: Preprocessor, *, has_classes: bool) -> None:  # noqa: ANN401 - as below
        super().__init__()
        self._preprocessor = preprocessor
        self._has_classes = has_classes
        with self.init_scope():
            self.network = network

    def forward(self, x: Any) -> dict[str, Any]:  # noqa: ANN401 - Chainer has no types
        """Return `probabilities` (N, classes) or `value` (N, 1) of examples, as `Preprocessor.prepare` scales them."""
        known = self._preprocessor
        flat = x.reshape(-1, int(np.prod(known.shape)))
        if known.mean.any():
            scaled = F.cast((F.cast(flat, np.float64) - known.mean) * known.scale, np.float32)
        else:
            scaled = F.cast(flat, np.float32) * known.scale.astype(np.float32)
        outputs = self.network(scaled.reshape(-1, *known.network_shape))
        return {"probabilities": F.softmax(outputs)} if self._has_classes else {"value": outputs}


def is_possible() -> bool:
    """Return whether the packages for it are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime", "onnx_chainer"))


def write(folder: Path, fitted: Fitted, x: Any, held_out: Table) -> str | None:  # noqa: ANN401 - an array
    """Write `model.onnx` of a model whose `model.npz` is in the folder, compared with Chainer on held-out examples.

    `x` has the training examples. Return a sentence about the comparison, or why there is no file; None if job.yaml
    wants none. In a job, the evidence is left for `launch`.
    """
    options = Options.from_environment()
    if options.onnx is Onnx.NEVER:
        return None
    copied = replace(fitted, network=copy.deepcopy(fitted.network))
    with _export_folder() as target:
        source = Source.of_file(folder / model_file.WEIGHTS)
        try:
            model_file.load_weights(source.path, copied.network)
            exported = _export(copied, source, target, options, (x, held_out))
        except ExportError as error:
            failure = Failure(link=type(fitted.network).__name__, reason=str(error), source=source.path)
            exports.write(target, Exports((), (failure,)))
            return f"no {NAME}: {error}"
        exports.write(target, Exports((exported,)))
        temporary = folder / f".{NAME}.part"
        shutil.copyfile(exported.onnx, temporary)
        temporary.replace(folder / NAME)
        return exported.sentence


def _export(
    fitted: Fitted,
    source: Source,
    folder: Path,
    options: Options,
    data: tuple[Any, Table],
) -> exports.ExportedNetwork:
    from training_job.export import exporter  # noqa: PLC0415 - imports onnx, which is slow

    x, held_out = data
    chain = RawNetwork(fitted.whole, fitted.preprocessor, has_classes=fitted.target is None)
    argument = ArrayArgument(str(x.dtype), [x.shape], float(x.min()), float(x.max()), is_variable=True)
    entry = Entry(name="model", link=chain, path="", group=CallGroup("forward", {0: argument}, returns_tensors=True))
    details = {"dtype": argument.dtype, "range": json.dumps([argument.low, argument.high])}
    if fitted.target is None:
        details["classes"] = json.dumps(list(held_out.classes), ensure_ascii=False)
    batches = _examples(held_out.x.astype(x.dtype, copy=False), options.samples)
    return exporter.export(entry, source, folder, options, is_only=True, metadata=details, held_out=batches)


def _examples(x: Any, count: int) -> dict[int, Sequence[Any]]:  # noqa: ANN401 - an array
    return {size: [x[:size]] for size in sorted({1, min(2, len(x)), min(count, len(x))})}


@contextmanager
def _export_folder() -> Iterator[Path]:
    """Yield the folder for `launch` in a job, and else one that is removed."""
    records = os.environ.get(metrics.FILE_VARIABLE)
    if records is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = Path(records).absolute().parent / exports.FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
