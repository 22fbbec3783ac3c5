"""What a model predicts: a class of each example, or a quantity."""

from enum import StrEnum


class Task(StrEnum):
    """What the labels are. The values are those of `--task` and of `input.json`."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
