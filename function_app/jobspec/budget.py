"""How much work one reading of a job spec may make of what is wrong with it.

A text may hold thousands of mistakes, of which `InvalidJobSpec.SHOWN` are told: what is made of each of the others
would be thrown away.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from attrs import define

PROBLEMS = 200
"""Problems that are made; the others are counted."""
SUGGESTIONS = 10
"""Words for which a near one is looked for: each takes the time of hundreds of values."""
SHOWN = 5 * PROBLEMS
"""Values that are put into messages. Those that come first are in the problems that are made."""


@define
class Budget:
    """What is left of it. `dropped` is how many problems were found and not made."""

    suggestions: float = float("inf")
    shown: float = float("inf")
    problems: int | None = None
    dropped: int = 0

    def suggests(self) -> bool:
        """Return whether one more suggestion may be looked for."""
        self.suggestions -= 1
        return self.suggestions >= 0

    def shows(self) -> bool:
        """Return whether one more value may be put into a message."""
        self.shown -= 1
        return self.shown >= 0

    def first[P](self, problems: Sequence[P]) -> Sequence[P]:
        """Return the problems that are made."""
        kept = problems[: self.problems]
        self.dropped += len(problems) - len(kept)
        return kept


_UNLIMITED = Budget()
_budget: ContextVar[Budget] = ContextVar("budget", default=_UNLIMITED)


def budget() -> Budget:
    """Return the budget of the reading under way; outside of any it has no end."""
    return _budget.get()


@contextmanager
def limited() -> Iterator[Budget]:
    """Begin a reading."""
    token = _budget.set(Budget(suggestions=SUGGESTIONS, shown=SHOWN, problems=PROBLEMS))
    try:
        yield _budget.get()
    finally:
        _budget.reset(token)
