"""Problems of a job file, with their positions."""

import json
import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from function_app.errors import Invalid

type Path = tuple[str | int, ...]
"""The path to a value: keys of mappings and indexes of lists, from the top."""

_PLAIN_KEY = re.compile(r"[\w$-]{1,80}", re.ASCII)
_LONGEST_KEY = 80


@frozen
class SourcePosition:
    """A position in a text. Both numbers count from 1."""

    line: int
    column: int


@frozen
class SpecProblem:
    """One problem. `line` and `column` are None if there is no text, as for a request's JSON."""

    line: int | None
    column: int | None
    key: str
    message: str

    def __str__(self) -> str:
        """Return `line 3, column 5: kedja.data: …`."""
        place = () if self.line is None else (f"line {self.line}, column {self.column}",)
        return ": ".join((*place, *([self.key] if self.key else []), self.message))


@frozen
class SourceMap:
    """The position of each value in its text. All maps are equal, as positions do not change what a file means."""

    positions: Mapping[Path, SourcePosition] = field(factory=dict, eq=False)

    def problem(self, path: Path, message: str) -> SpecProblem:
        """Return a problem at the position of the value at `path`, or of its nearest parent that has one."""
        for length in range(len(path), -1, -1):
            position = self.positions.get(path[:length])
            if position:
                return SpecProblem(position.line, position.column, dotted(path), message)
        return SpecProblem(None, None, dotted(path), message)


def dotted(path: Path) -> str:
    """Return `search_space.lr.values[0]` for ("search_space", "lr", "values", 0)."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _shown(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key[:_LONGEST_KEY])


class InvalidJobSpec(Invalid):
    """A job.yaml, or a request with its keys, is refused. `problems` has each problem.

    If there are very many, it has the first `SHOWN` and the number of the rest, including `more` that are not given.
    """

    SHOWN = 50
    code = "invalid-job"
    title = "The job is not valid."

    def __init__(self, problems: Iterable[SpecProblem | str], *, more: int = 0) -> None:
        every = tuple(problems)
        left = len(every[self.SHOWN :]) + more
        self.problems = (*every[: self.SHOWN], *((f"and {left} more",) if left else ()))
        super().__init__("; ".join(str(problem) for problem in self.problems))
