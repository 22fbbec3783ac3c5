"""What is wrong with a job file, and where it stands there."""

import json
import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from function_app.errors import KedjaError

type Path = tuple[str | int, ...]
"""The way to a value: keys of mappings and indexes of lists, from the top."""

_PLAIN_KEY = re.compile(r"[\w$-]{1,80}", re.ASCII)
_LONGEST_KEY = 80


@frozen
class Position:
    """A place in a text. Both numbers count from 1."""

    line: int
    column: int


@frozen
class Problem:
    """One thing that is wrong. `line` and `column` are None where there is no text, as in a request's JSON."""

    line: int | None
    column: int | None
    key: str
    message: str

    def __str__(self) -> str:
        """Return `line 3, column 5: kedja.data: …`."""
        place = () if self.line is None else (f"line {self.line}, column {self.column}",)
        return ": ".join((*place, *([self.key] if self.key else []), self.message))


@frozen
class Places:
    """Where each value stands in the text it came from. All are equal, for a place is no part of what a file says."""

    positions: Mapping[Path, Position] = field(factory=dict, eq=False)

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with the value at `path`, or at the nearest one above it that stands in the text."""
        for length in range(len(path), -1, -1):
            position = self.positions.get(path[:length])
            if position:
                return Problem(position.line, position.column, dotted(path), message)
        return Problem(None, None, dotted(path), message)


def dotted(path: Path) -> str:
    """Return `search_space.lr.values[0]` for ("search_space", "lr", "values", 0)."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _shown(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key[:_LONGEST_KEY])


class InvalidJobSpec(KedjaError):
    """A job.yaml, or a request with its keys, that is refused. Each problem stands in `problems`.

    Of very many the first `SHOWN` stand there, and how many more there are: `more` counts those that are not given.
    """

    SHOWN = 50

    def __init__(self, problems: Iterable[Problem | str], *, more: int = 0) -> None:
        every = tuple(problems)
        left = len(every[self.SHOWN :]) + more
        self.problems = (*every[: self.SHOWN], *((f"and {left} more",) if left else ()))
        super().__init__("; ".join(str(problem) for problem in self.problems))
