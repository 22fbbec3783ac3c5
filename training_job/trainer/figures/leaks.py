"""Finds a column that alone predicts the label, as a copy of it would."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import scores

_MOST_INPUTS, _MOST_ROWS, _LEAST_ROWS = 500, 5000, 40
_ACCURACY, _R2 = 0.995, 0.999
_EXPECTED = 0.98  # of a constant, above which accuracy says nothing


def find(table: Table, columns: Mapping[str, Sequence[int]], *, seed: int) -> list[str]:
    """Return the `columns` of which a decision tree alone predicts the labels of examples that it has not seen.

    `columns` has the numbers of the inputs of each column. A tree of 64 leaves is fitted on half of at most 5,000
    examples. Pictures and wide tables are not examined.
    """
    if table.x.ndim != 2 or table.x.shape[1] > _MOST_INPUTS or len(table) < _LEAST_ROWS:  # noqa: PLR2004 - a table
        return []
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # noqa: PLC0415 - slow: only if needed

    rows = np.random.default_rng(seed).permutation(len(table))[:_MOST_ROWS]
    train, held_out = np.array_split(rows, 2)
    y: Any = table.y
    is_class = table.task is Task.CLASSIFICATION
    if is_class and np.bincount(y[held_out]).max() / len(held_out) > _EXPECTED:
        return []
    found = []
    for name, inputs in columns.items():
        x = table.x[:, list(inputs)]
        tree = (DecisionTreeClassifier if is_class else DecisionTreeRegressor)(max_leaf_nodes=64, random_state=seed)
        predicted = tree.fit(x[train], y[train]).predict(x[held_out])
        good = (predicted == y[held_out]).mean() if is_class else scores.r2(predicted, y[held_out])
        if good >= (_ACCURACY if is_class else _R2):
            found.append(name)
    return found
