"""`predictions.csv`: what a model predicts for examples that came without labels."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job.atomic_write import open_atomic
from training_job.trainer.datasets.table import Unlabelled
from training_job.trainer.preprocessing import Preprocessor

NAME = "predictions.csv"
_BATCH = 1000


def write(
    folder: Path,
    network: Any,  # noqa: ANN401 - Chainer has no types
    preprocessor: Preprocessor,
    classes: Sequence[str],
    examples: Unlabelled,
) -> None:
    """Write a line for each example, in order: `prediction`, and for classes the probability of each.

    The network must be on the CPU. The file is written atomically.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "prediction", *(f"probability of {name}" for name in classes)])
    row = 0
    with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
        for start in range(0, len(examples.x), _BATCH):
            outputs = network(preprocessor.prepare(examples.x[start : start + _BATCH]))
            values: Any = chainer.functions.softmax(outputs).array if classes else outputs.array.reshape(-1)
            for value in values:
                row += 1
                if classes:
                    writer.writerow([row, classes[int(np.argmax(value))], *(f"{share:.6g}" for share in value)])
                else:
                    writer.writerow([row, f"{float(value):.9g}"])
    with open_atomic(folder / NAME) as stream:
        stream.write(text.getvalue().encode())
