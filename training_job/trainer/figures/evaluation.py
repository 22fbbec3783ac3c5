"""Evaluates a trained network."""

from typing import Any

import chainer
import numpy as np

from training_job.trainer.datasets.table import Table
from training_job.trainer.preprocessing import Preprocessor

_BATCH = 1000


def outputs_of(network: Any, table: Table, preprocessor: Preprocessor) -> Any:  # noqa: ANN401 - Chainer and NumPy
    """Return the network's outputs in test mode, float32 (N, outputs). The network must be on the CPU."""
    found = []
    with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
        for start in range(0, len(table), _BATCH):
            batch = table.take(slice(start, start + _BATCH))
            found.append(network(preprocessor.prepare(batch.x)).array)
    return np.concatenate(found)
