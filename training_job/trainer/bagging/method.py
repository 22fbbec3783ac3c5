"""Trains an ensemble on a table, with no choice left to the user."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_job import metrics
from training_job.trainer.bagging import ensemble
from training_job.trainer.bagging.budget import EFFORTS, Quality, budget_of
from training_job.trainer.bagging.members import Budget, Examples, Measure, Recipe, Rows
from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import folds
from training_job.trainer.fitted import Curve, Fitted, scaled, target_of
from training_job.trainer.preprocessing import choose_preprocessor, standardised

_UNEVEN = 10  # times as many examples of the commonest class as of the rarest, from which the loss is weighted


@dataclass(frozen=True, kw_only=True)
class Bagging:
    """Bags networks on the CPU: a step of a small network takes less time there than its way to a GPU.

    `is_encoded` says that examples are a network's inputs already. `shift` is that of
    `training_job.trainer.loop.Options`.
    """

    quality: Quality
    steps: int | None
    seed: int
    is_encoded: bool
    shift: int

    @property
    def is_cheap(self) -> bool:
        """See `Method`."""
        return True

    def fit(self, train: Table, validation: Table | None, *, is_final: bool) -> Fitted:
        """See `Method`. The validation examples of a user take the place of the folds."""
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

        # Products this small take longer with threads, and would be rounded otherwise with another number of them.
        with threadpool_limits(1, user_api="blas"):
            return self._fit(train, validation, is_final=is_final)

    def _fit(self, train: Table, validation: Table | None, *, is_final: bool) -> Fitted:
        effort = EFFORTS[self.quality]
        preprocessor, target = choose_preprocessor(train.x, is_encoded=self.is_encoded), target_of(train)
        if preprocessor.are_pictures:
            preprocessor = standardised(preprocessor, train.x)
        tables = [scaled(table, target) for table in (train, validation) if table is not None]
        examples = Examples(
            x=np.concatenate([preprocessor.prepare(table.x).reshape(len(table), -1) for table in tables]),
            y=np.concatenate([table.y for table in tables]),
            weights=np.concatenate([_weights(table, train) for table in tables]),
            outputs=len(train.classes) or 1,
            picture_shape=preprocessor.network_shape if preprocessor.are_pictures else None,
            shift=self.shift,
        )
        rows = self._rows(train, validation)
        budget = budget_of(len(train), steps=self.steps, effort=effort)
        recipes = effort.recipes_of(len(train))
        report = _reporter(recipes, budget, is_final=is_final)
        chosen = ensemble.train(examples, recipes, rows, budget, seed=self.seed, watch=report)
        shape = preprocessor.network_shape
        return Fitted(
            network=ensemble.network_of(chosen, shape, examples.outputs),
            architecture="ensemble",
            options={"inputs": list(shape), "classes": examples.outputs, "members": chosen.widths},
            preprocessor=preprocessor,
            target=target,
            metrics=_metrics(chosen, budget),
            curves=[_curve(candidate) for candidate in chosen.candidates],
            history={"recipes": [_history(one, is_kept=one in chosen.candidates) for one in chosen.tried]},
            decision=_decision(chosen, budget),
        )

    def _rows(self, train: Table, validation: Table | None) -> Rows:
        effort = EFFORTS[self.quality]
        if validation is not None:
            count = effort.folds * effort.repeats
            every = np.arange(len(train))
            other: Any = len(train) + np.arange(len(validation))
            return Rows(train=[every] * count, validation=[other] * count)
        groups = folds.groups_of(train)
        parts = [
            part
            for repeat in range(effort.repeats)
            for part in folds.parts_of(train, effort.folds, seed=self.seed + repeat, groups=groups)
        ]
        return Rows(train=[part.train for part in parts], validation=[part.held_out for part in parts])


def class_weights(table: Table) -> Any:  # noqa: ANN401 - an array
    """Return the weight of each class in the loss, float32 (classes,), of mean 1 over the examples.

    They are 1, but if a class has less than a tenth of the commonest one's examples: then they are inverse to the
    square root of the number of examples.
    """
    counts = np.bincount(table.y, minlength=len(table.classes))
    there = np.maximum(counts, 1)
    if counts.max() <= _UNEVEN * there.min():
        return np.ones(len(counts), np.float32)
    weights = there**-0.5
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def _weights(table: Table, train: Table) -> Any:  # noqa: ANN401 - an array
    """Return the weight of each example of a table in the loss."""
    return np.ones(len(table), np.float32) if train.task is Task.REGRESSION else class_weights(train)[table.y]


def _name(recipe: Recipe) -> str:
    return "linear" if not recipe.hidden else "mlp " + "-".join(map(str, recipe.hidden))


def _reporter(recipes: Sequence[Recipe], budget: Budget, *, is_final: bool) -> Callable[[Recipe, Measure], None]:
    starts = {recipe: number * budget.steps for number, recipe in enumerate(recipes)}

    def report(recipe: Recipe, measure: Measure) -> None:
        if not is_final:
            return
        values = {"loss": measure.loss, "validation_loss": measure.validation_loss}
        metrics.log(values, step=starts[recipe] + measure.step)
        if measure.step % (5 * budget.interval) == 0:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            print(f"{_name(recipe)}, step {measure.step}/{budget.steps}  {shown}", flush=True)  # noqa: T201 - the job's log

    return report


def _metrics(chosen: ensemble.Chosen, budget: Budget) -> dict[str, float]:
    losses = [min(one.trained.history, key=lambda measure: measure.validation_loss).loss for one in chosen.candidates]
    return {"loss": float(np.mean(losses)), "validation_loss": chosen.loss, "steps": float(budget.steps)}


def _curve(candidate: ensemble.Candidate) -> Curve:
    history = candidate.trained.history
    losses = [measure.validation_loss for measure in history]
    return Curve(
        title=f"loss of {_name(candidate.recipe)}",
        training=[measure.loss for measure in history],
        validation=losses,
        kept=int(np.argmin(losses)) + 1,
    )


def _history(candidate: ensemble.Candidate, *, is_kept: bool) -> dict[str, Any]:
    return {
        "recipe": _name(candidate.recipe),
        "kept": is_kept,
        "unseen_loss": candidate.loss,
        "steps": candidate.trained.steps,
        "best_steps": candidate.trained.best_steps.tolist(),
        "validations": [
            {"step": one.step, "loss": one.loss, "validation_loss": one.validation_loss}
            for one in candidate.trained.history
        ],
    }


def _decision(chosen: ensemble.Chosen, budget: Budget) -> str:
    kinds = " and ".join(_name(candidate.recipe) for candidate in chosen.candidates)
    count = len(chosen.widths)
    return (
        f"The model is the mean of {count} networks ({kinds}), each trained for at most {budget.steps} steps of "
        f"{budget.batch_size} examples and stopped early on examples that it did not see."
    )
