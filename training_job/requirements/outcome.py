"""What became of a drop's requirements: for the log, the receipt, and the error of a script that lacks a package."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training_job.atomic_write import write_json
from training_job.requirements import known_names

_MAX_NOTE = 500
_MAX_REASON = 200
_MAX_FAILURES = 10
"""Failures that have notes of their own: a receipt has room for 50 notes of a job."""


@dataclass(frozen=True, kw_only=True)
class Substitution:
    """A line that is fulfilled by another version or distribution than it asks for. `became` says by which."""

    file: str
    asked: str
    became: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A line that could not be installed, and why. `name` is its distribution, or None for a path or an address."""

    file: str
    asked: str
    name: str | None
    reason: str


@dataclass(kw_only=True)
class Outcome:
    """What became of the lines of `file`, the source. `installed` are the names and versions in the job's venv."""

    file: str
    installed: dict[str, str] = field(default_factory=dict)
    substitutions: list[Substitution] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Return the outcome in lines for the receipt: failures first, each with its reason."""
        failed = [f"{it.file}: {it.asked} could not be installed: {it.reason}" for it in self.failures[:_MAX_FAILURES]]
        more = [it.asked for it in self.failures[_MAX_FAILURES:]]
        failed += _packed(f"{self.file}, could not be installed either", more)
        changed: dict[str, list[str]] = {}
        for it in self.substitutions:
            changed.setdefault(it.file, []).append(f"{it.asked} {it.became}")
        notes = [*failed, *(note for file, parts in changed.items() for note in _packed(file, parts)), *self.remarks]
        return [note[:_MAX_NOTE] for note in notes]

    def missing(self, module: str) -> Failure | None:
        """Return the failure that explains why a module cannot be imported, or None."""
        top = module.partition(".")[0].lower()
        return next((it for it in self.failures if it.name and top in known_names.import_names(it.name)), None)

    def save(self, path: Path) -> None:
        """Write the outcome as JSON, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Outcome":
        """Read what `save` has written.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is damaged.
        """
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        try:
            return cls(
                file=document["file"],
                installed=dict(document["installed"]),
                substitutions=[Substitution(**it) for it in document["substitutions"]],
                failures=[Failure(**it) for it in document["failures"]],
                remarks=list(document["remarks"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is no outcome: {error!r}") from error


def short(reason: str) -> str:
    """Return a reason in one line of at most 200 characters."""
    line = " ".join(reason.split())
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"


def _packed(file: str, parts: Iterable[str]) -> list[str]:
    """Return notes that list the parts, as many in each as it can hold."""
    notes: list[str] = []
    for part in parts:
        if notes and len(notes[-1]) + len(part) + 2 <= _MAX_NOTE:
            notes[-1] += f"; {part}"
        else:
            notes.append(f"{file}: {part}")
    return notes
