"""Evaluates a trained network on held-out examples."""

from typing import Any

import chainer
import numpy as np

from training_job.trainer.datasets.table import Table
from training_job.trainer.preprocessing import Preprocessor

_BATCH = 1000


def confusion_matrix(network: Any, table: Table, preprocessor: Preprocessor) -> Any:  # noqa: ANN401 - Chainer and NumPy
    """Return the counts of true (rows) and predicted classes (columns), int64 (classes, classes).

    The network must be on the CPU.
    """
    size = len(table.classes)
    counts: Any = np.zeros((size, size), np.int64)
    with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
        for start in range(0, len(table), _BATCH):
            batch = table.take(slice(start, start + _BATCH))
            predicted = network(preprocessor.prepare(batch.x)).array.argmax(axis=1)
            np.add.at(counts, (batch.y, predicted), 1)
    return counts
