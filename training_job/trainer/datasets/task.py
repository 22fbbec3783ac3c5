"""What a model predicts, a class of each example or a quantity, and how that is decided by the labels."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

_MAX_CLASSES = 1000
_LARGE = 1000
_SHARE_OF_LARGE = 0.05
_SHARE_OF_SMALL = 0.1
"""AutoGluon's thresholds: infer_problem_type in core/src/autogluon/core/utils/utils.py, and core/constants.py there.

https://github.com/autogluon/autogluon
"""
_MAX_NUMBERED = 20  # classes that are taken as such in a table that is too small for AutoGluon's shares


class Task(StrEnum):
    """What the labels are. The values are those of `--task` and of `input.json`."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A task, and the reason: a phrase that continues "as the labels"."""

    task: Task
    reason: str


def decide(labels: Any) -> Decision:  # noqa: ANN401 - an array
    """Return the task of labels (N,): texts, booleans or finite numbers.

    Numbers are classes if there are two of them, or if they are whole and few: at most a twentieth as many as examples
    (a tenth up to 1,000 examples) and at most 1,000. These are AutoGluon's thresholds. Further, if they number at most
    20 classes from 0 or 1 without a gap, with two examples or more of each.
    """
    if labels.dtype.kind not in "iuf":
        reason = "are true or false" if labels.dtype.kind == "b" else "are texts"
        return Decision(task=Task.CLASSIFICATION, reason=reason)
    values, counts = np.unique(labels, return_counts=True)
    distinct, count = len(values), len(labels)
    if distinct <= 2:  # noqa: PLR2004 - AutoGluon's binary
        return Decision(task=Task.CLASSIFICATION, reason=f"are {distinct} different numbers")
    if (values != np.floor(values)).any():
        return Decision(task=Task.REGRESSION, reason="are numbers with fractions")
    share = _SHARE_OF_LARGE if count > _LARGE else _SHARE_OF_SMALL
    reason = f"are {distinct} different whole numbers in {count} examples (AutoGluon's limit is {share:.0%})"
    if distinct <= min(share * count, _MAX_CLASSES):
        return Decision(task=Task.CLASSIFICATION, reason=reason)
    is_numbered = values[0] in (0, 1) and values[-1] - values[0] == distinct - 1
    if is_numbered and distinct <= _MAX_NUMBERED and counts.min() > 1:
        reason = f"number {distinct} classes from {values[0]:.0f} without a gap"
        return Decision(task=Task.CLASSIFICATION, reason=reason)
    return Decision(task=Task.REGRESSION, reason=reason)
