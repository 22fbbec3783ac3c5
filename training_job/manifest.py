"""`outputs/.kedja-manifest.json`: how the job ended and which files it left.

`launch` writes it last. If it is missing, the job was killed.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training_job.atomic_write import write_json

NAME = ".kedja-manifest.json"
_VERSION = 1


class Outcome(StrEnum):
    """How a job ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CHANGED = "changed-since-snapshot"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a job ended, and why in one line. `exit_code` is what `launch` ends with.

    `failed_rank` is the rank whose failure had mpirun end this one, which is the first.
    """

    outcome: Outcome
    exit_code: int
    reason: str | None = None
    signal: str | None = None
    out_of_memory: bool = False
    failed_rank: int | None = None


def write(
    outputs: Path,
    result: Result,
    metrics: Mapping[str, float],
    notes: Sequence[str] = (),
    *,
    model: str | None = None,
    model_reason: str | None = None,
) -> None:
    """Write the manifest of a folder: the result, the metrics, the notes, and size and SHA-256 of every file.

    `model` is the path of the model below the folder, and `model_reason` says why it is that one.
    """
    document: dict[str, Any] = {
        "version": _VERSION,
        "result": result.outcome.value,
        "reason": result.reason,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "out_of_memory": result.out_of_memory,
        "failed_rank": result.failed_rank,
        "model": model,
        "model_reason": model_reason,
        "metrics": dict(metrics),
        "notes": list(notes),
        "files": list(_entries(outputs)),
    }
    write_json(outputs / NAME, document)


def _entries(outputs: Path) -> Iterator[dict[str, Any]]:
    for parent, folders, names in os.walk(outputs):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path == outputs / NAME or not path.is_file():
                continue
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield {"path": path.relative_to(outputs).as_posix(), "size": path.stat().st_size, "sha256": digest}
