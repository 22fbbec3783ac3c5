"""Trains the model to register, and measures it on examples that no choice has looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job.trainer.bagging.budget import SMALL
from training_job.trainer.datasets.inputs import Kind
from training_job.trainer.datasets.table import Dataset, Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import evaluation, folds, leaks, scores, yardstick
from training_job.trainer.figures.yardstick import Yardstick
from training_job.trainer.fitted import Fitted, Method

_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A model's outputs for examples that were held out, and what their labels are.

    `split` is `test` or `cross-validation`: then the model was trained on all examples, and the outputs are those of
    models that were trained in the same way on four fifths each.
    """

    split: str
    table: Table
    outputs: Any
    yardstick: Yardstick

    @property
    def predicted(self) -> Any:  # noqa: ANN401 - an array
        """The predicted classes, or quantities, (N,)."""
        return self.outputs.argmax(axis=1) if self.table.task is Task.CLASSIFICATION else self.outputs[:, 0]

    def figures(self) -> dict[str, float]:
        """Return the model's figures (see `scores.figures_of`), and those of the other models."""
        task, truth = self.table.task, self.table.y
        name = scores.main_figure(task)
        found = scores.figures_of(task, self.outputs, truth)
        found[f"baseline_{name}"] = yardstick.figure(task, self.yardstick.baseline, truth)
        if self.yardstick.boosting is not None:
            found[f"boosting_{name}"] = yardstick.figure(task, self.yardstick.boosting, truth)
        return found

    def notes(self, figures: Mapping[str, float]) -> list[str]:
        """Return sentences for the receipt: the figure, how it was measured, and what else would reach it."""
        task, truth = self.table.task, self.table.y
        name = scores.main_figure(task)
        how = "five-fold cross-validation of all" if self.split == "cross-validation" else "a test set of"
        boosting = figures.get(f"boosting_{name}")
        others = f"a constant has {figures[f'baseline_{name}']:.3f}"
        if boosting is not None:
            others += f" and gradient boosting {boosting:.3f}"
        interval = f"{figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f}"
        measured = f"by {how} {len(truth)} examples; {others} on the same"
        notes = [f"{name.capitalize()} {figures[name]:.3f} (95 % interval {interval}) {measured}."]
        tried = {"a constant": self.yardstick.baseline, "gradient boosting": self.yardstick.boosting}
        for other, predicted in tried.items():
            if predicted is not None and yardstick.is_clearly_better(task, predicted, self.predicted, truth):
                notes.append(
                    f"A simpler model is better here: {other} has {name} "
                    f"{yardstick.figure(task, predicted, truth):.3f}, this network {figures[name]:.3f}."
                )
        return notes


def assess(data: Dataset, method: Method, *, seed: int) -> tuple[Fitted, Assessment]:
    """Train the model to register, and measure it.

    Raises:
        DatasetError: Nothing can be held out, as a class has one example only.
    """
    if data.test is None and data.validation is None and method.is_cheap and len(data.train) < SMALL:
        return _cross_validated(data.train, method, seed=seed)
    train, test = data.train, data.test
    if test is None:
        part = folds.hold_out(train, seed=seed)
        train, test = train.take(part.train), train.take(part.held_out)
    fitted = method.fit(train, data.validation, is_final=True)
    outputs = evaluation.outputs_of(fitted.whole, test, fitted.preprocessor)
    measured = yardstick.measure(train, test, seed=seed)
    return fitted, Assessment(split="test", table=test, outputs=outputs, yardstick=measured)


def _cross_validated(table: Table, method: Method, *, seed: int) -> tuple[Fitted, Assessment]:
    folds.check_counts(table)
    outputs: Any = np.zeros((len(table), len(table.classes) or 1), np.float32)
    baseline, boosting = np.zeros((2, len(table)))
    is_boosted = True
    for part in folds.parts_of(table, _FOLDS, seed=seed):
        train, held_out = table.take(part.train), table.take(part.held_out)
        fitted = method.fit(train, None, is_final=False)
        outputs[part.held_out] = evaluation.outputs_of(fitted.whole, held_out, fitted.preprocessor)
        measured = yardstick.measure(train, held_out, seed=seed)
        baseline[part.held_out] = measured.baseline
        is_boosted = is_boosted and measured.boosting is not None
        if is_boosted:
            boosting[part.held_out] = measured.boosting
    final = method.fit(table, None, is_final=True)
    found = Yardstick(baseline=baseline, boosting=boosting if is_boosted else None)
    return final, Assessment(split="cross-validation", table=table, outputs=outputs, yardstick=found)


def warnings_about(data: Dataset, *, seed: int) -> list[str]:
    """Return sentences about data whose figures may be too good: copies of the label, and repeated examples."""
    table = data.train
    warnings = [
        f"{name[:1].upper()}{name[1:]} of {table.source} alone predicts the label: if it is not known when the model "
        "is used, take it out."
        for name in leaks.find(table, _columns_of(data), seed=seed)
    ]
    repeated = len(table) - len(np.unique(folds.groups_of(table)))
    if repeated and table.groups is None:
        warnings.append(f"{repeated} of {len(table)} examples repeat another; equal ones are on one side of a split.")
    return warnings


def _columns_of(data: Dataset) -> dict[str, list[int]]:
    """Return the names of the columns, with the numbers of the inputs that each became."""
    if data.inputs.kind is not Kind.TABLE:
        return {f"value {number}": [number] for number in range(data.train.x.shape[1])}
    columns, start = {}, 0
    for column in data.inputs.columns:
        columns[f"column {column.name!r}"] = list(range(start, start := start + len(column.inputs)))
    return columns
