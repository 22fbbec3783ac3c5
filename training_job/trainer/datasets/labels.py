"""Labels of any kind become numbers of classes, or quantities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.task import Decision, Task, decide

_FLOAT32 = float(np.finfo(np.float32).max)
_MOSTLY_DIFFERENT = 0.5  # a share of different texts that are no classes
_MANY = 20


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Labels of the training data: `y` is int32 numbers of `classes`, or float32 quantities (`classes` is empty)."""

    y: Any
    classes: tuple[str, ...]
    decision: Decision

    @property
    def task(self) -> Task:
        """Return what the labels are."""
        return self.decision.task

    @property
    def note(self) -> str:
        """Return a sentence about the task and why it is that one."""
        if self.task is Task.REGRESSION:
            return (
                f"It is a regression, as the labels {self.decision.reason}; they range from {self.y.min():g} to "
                f"{self.y.max():g}. For classes, give --task classification."
            )
        hint = "" if self.decision.reason in ("are texts", "are true or false") else " --task regression overrules."
        return (
            f"It is a classification, as the labels {self.decision.reason}: {len(self.classes)} classes "
            f"({some(self.classes)}).{hint}"
        )


Where = Callable[[int], str]
"""Returns the place of a row, counted from 0, for messages."""


def understand(values: Any, *, name: str, where: Where, task: Task | None = None) -> Labels:  # noqa: ANN401 - an array
    """Return the labels of training data, (N,) texts, booleans or numbers without gaps. `task` overrules the decision.

    Raises:
        DatasetError: There is one class only, a quantity is infinite or no number, or nearly each example has a text
            of its own.
    """
    values = as_labels(values)
    if values.dtype.kind == "f":
        bad = np.flatnonzero(~(np.abs(values) <= _FLOAT32))
        if len(bad):
            raise DatasetError(
                f"{where(int(bad[0]))} has the label {values[bad[0]]} in {name}: a finite number is expected; correct "
                "it, or remove the row"
            )
    decision = decide(values) if task is None else Decision(task=task, reason="are to be so by --task")
    if decision.task is Task.REGRESSION:
        return Labels(y=_quantities(values, name, where), classes=(), decision=decision)
    found, y, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(found) < 2:  # noqa: PLR2004 - one class cannot be learned
        raise DatasetError(
            f"{name} holds one class only ({_name(found[0])}), in all {len(y)} examples: two at least are needed to "
            "train; add examples of another class, or name the column of the labels with --label"
        )
    if len(y) > _MANY and len(found) > _MOSTLY_DIFFERENT * len(y):
        raise DatasetError(
            f"{name} holds {len(found)} different labels in {len(y)} examples, such as {_name(found[0])!r}: these are "
            "no classes; name the column of the labels with --label"
        )
    del counts
    return Labels(y=y.astype(np.int32), classes=tuple(_name(value) for value in found), decision=decision)


def apply(values: Any, classes: tuple[str, ...], *, name: str, where: Where, known_in: str) -> Any:  # noqa: ANN401 - arrays
    """Return the labels of validation or test data as the training data's: int32 numbers of classes, or float32.

    Raises:
        DatasetError: A label is none of `classes`, or is no finite number.
    """
    values = as_labels(values)
    if not classes:
        return _quantities(values, name, where)
    numbers = {label: number for number, label in enumerate(classes)}
    y = np.array([numbers.get(_name(value), -1) for value in values], np.int32)
    unknown = np.flatnonzero(y < 0)
    if len(unknown):
        raise DatasetError(
            f"{where(int(unknown[0]))} has class {_name(values[unknown[0]])!r} in {name}, which {known_in} does not "
            f"have ({some(classes)}): correct it, remove the row, or add examples of it to {known_in}"
        )
    return y


def as_labels(values: Any) -> Any:  # noqa: ANN401 - arrays
    """Return an array of numbers, of booleans, or of stripped texts."""
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        return values
    return np.array([_name(value).strip() for value in values.ravel()], dtype=str)


def some(names: tuple[str, ...] | list[str], limit: int = 5) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}…" for name in names[:limit])  # noqa: PLR2004 - a line
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _quantities(values: Any, name: str, where: Where) -> Any:  # noqa: ANN401 - arrays
    try:
        y = values.astype(np.float64)
    except ValueError:
        row = next(index for index, value in enumerate(values) if not _is_number(value))
        raise DatasetError(
            f"{where(row)} has the label {str(values[row])[:40]!r} in {name}: a regression takes numbers; correct it, "
            "or give --task classification"
        ) from None
    bad = np.flatnonzero(~(np.abs(y) <= _FLOAT32))
    if len(bad):
        raise DatasetError(
            f"{where(int(bad[0]))} has the label {y[bad[0]]} in {name}: a finite number is expected; correct it, or "
            "remove the row"
        )
    return y.astype(np.float32)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _name(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
