"""How long to train: the seconds of `--quality`, as numbers of steps that depend on the data alone.

The same data, seed and number of steps give the same model on a CPU, however busy it is: a clock decides nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from training_job.trainer.bagging.members import Budget, Recipe

SMALL = 2000
"""Examples below which a table is small: its figures come from cross-validation."""


class Quality(StrEnum):
    """The values of `--quality`. 5,000 rows on two cores take at most 10 s, 60 s, and some minutes."""

    FAST = "fast"
    GOOD = "good"
    BEST = "best"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a quality means. An ensemble has `folds` x `repeats` members of each recipe.

    `steps` and `recipes` are for an ensemble on a small table, which is trained six times over to be measured, and
    `large_steps` and `large_recipes` for one on a larger table. A single network is trained for at least `loop_steps`
    steps and `epochs` epochs.
    """

    steps: int
    folds: int
    repeats: int
    recipes: tuple[Recipe, ...]
    large_steps: int
    large_recipes: tuple[Recipe, ...]
    loop_steps: int
    epochs: int

    def recipes_of(self, rows: int) -> tuple[Recipe, ...]:
        """Return the recipes to try on so many rows."""
        return self.recipes if rows < SMALL else self.large_recipes


_LINEAR = Recipe(hidden=(), rate=0.01, decay=0.01)
_NARROW = Recipe(hidden=(64,), rate=0.003, decay=0.1)
_DEEP = Recipe(hidden=(128, 64), rate=0.002, decay=0.1, dropout=0.2)
_WIDE = Recipe(hidden=(256, 128), rate=0.001, decay=0.1, dropout=0.3)

_FEW, _SOME, _ALL = (_LINEAR, _NARROW), (_LINEAR, _NARROW, _DEEP), (_LINEAR, _NARROW, _DEEP, _WIDE)

EFFORTS = {
    Quality.FAST: Effort(
        folds=4, repeats=1, steps=400, recipes=_FEW, large_steps=800, large_recipes=_FEW, loop_steps=400, epochs=5
    ),
    Quality.GOOD: Effort(
        folds=5, repeats=1, steps=2000, recipes=_SOME, large_steps=3000, large_recipes=_ALL, loop_steps=2000, epochs=20
    ),
    Quality.BEST: Effort(
        folds=5,
        repeats=3,
        steps=4000,
        recipes=_ALL,
        large_steps=10_000,
        large_recipes=_ALL,
        loop_steps=10_000,
        epochs=40,
    ),
}

_SMALLEST_BATCH, _LARGEST_BATCH = 16, 256
_BATCHES = 32  # in an epoch, between these limits
_EPOCHS = 4  # at least, however many rows there are
_VALIDATIONS, _PATIENCE = 50, 15


def batch_size(rows: int) -> int:
    """Return the number of examples in a batch: a power of 2 near a thirty-second of the rows, from 16 to 256."""
    size = 1 << max(0, rows // _BATCHES).bit_length()
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, size))


def budget_of(rows: int, *, steps: int | None, effort: Effort) -> Budget:
    """Return the budget of an ensemble that is trained on so many rows. `steps` None is the effort's own."""
    size = batch_size(rows)
    least = effort.steps if rows < SMALL else effort.large_steps
    chosen = max(least, _EPOCHS * rows // size) if steps is None else steps
    return Budget(steps=chosen, batch_size=size, interval=max(1, chosen // _VALIDATIONS), patience=_PATIENCE)


def epochs_of(rows: int, size: int, *, steps: int | None, effort: Effort) -> int:
    """Return the epochs of a single network with batches of `size`: those of `steps`, rounded up, if it is given."""
    batches = -(-rows // size)
    if steps is not None:
        return -(-steps // batches)
    return max(effort.epochs, -(-effort.loop_steps // batches))
