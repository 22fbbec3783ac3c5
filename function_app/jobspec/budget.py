"""Limits the work that validating one job spec may spend on its mistakes.

A text may have thousands of mistakes, of which only `InvalidJobSpec.SHOWN` are reported: work on the rest is wasted.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import define

PROBLEMS = 200
"""Max problems that are created; the others are only counted."""
SUGGESTIONS = 10
"""Max words for which a similar one is searched: each takes as long as hundreds of values."""
SHOWN = 5 * PROBLEMS
"""Max values that are put into messages. The first of them are in the problems that are created."""


@define
class Budget:
    """The remaining budget. `dropped` is the number of problems that were found but not created."""

    suggestions: float = float("inf")
    shown: float = float("inf")
    problems: int | None = None
    dropped: int = 0

    def suggests(self) -> bool:
        """Return whether one more suggestion may be searched."""
        self.suggestions -= 1
        return self.suggestions >= 0

    def shows(self) -> bool:
        """Return whether one more value may be put into a message."""
        self.shown -= 1
        return self.shown >= 0

    def first[P](self, problems: Sequence[P]) -> Sequence[P]:
        """Return the problems to create; count the others as dropped."""
        kept = problems[: self.problems]
        self.dropped += len(problems) - len(kept)
        return kept


_UNLIMITED = Budget()
_budget: ContextVar[Budget] = ContextVar("budget", default=_UNLIMITED)


def budget() -> Budget:
    """Return the budget of the present validation; outside one it is unlimited."""
    return _budget.get()


@contextmanager
def limited() -> Iterator[Budget]:
    """Run a validation with a limited budget."""
    token = _budget.set(Budget(suggestions=SUGGESTIONS, shown=SHOWN, problems=PROBLEMS))
    try:
        yield _budget.get()
    finally:
        _budget.reset(token)
