"""A ready experiment: what `kedja init` writes."""

import math
import random
from pathlib import Path

from kedja_cli.errors import CommandError

_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {"scripts/train.py": "train.py.txt", "scripts/job.yaml": "job.yaml"}
_POINTS = 400


def write(folder: Path, *, sample: bool) -> list[Path]:
    """Write `scripts/` and `data/` into a folder; return the files.

    Raises:
        CommandError: where one of the files is there already. Nothing is written then.
    """
    files = {folder / name: (_TEMPLATES / template).read_text() for name, template in _FILES.items()}
    if sample:
        files[folder / "data" / "points.csv"] = points()
    there = [path for path in files if path.exists()]
    if there:
        raise CommandError(
            f"{there[0]} is there already: nothing was written.",
            "Give another folder, or move what is there.",
            details=[str(path) for path in there] if len(there) > 1 else (),
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "data").mkdir(exist_ok=True)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from error
    return list(files)


def points() -> str:
    """Return points of two kinds that no straight line parts: a ring around a disc, with some noise, as CSV."""
    chance = random.Random(0)  # noqa: S311 - no secret, and the same each time
    lines = ["x,y,label"]
    for number in range(_POINTS):
        label = number % 2
        radius, angle = (1.0 if label == 0 else 2.5) * chance.uniform(0.7, 1.1), chance.uniform(0, 2 * math.pi)
        lines.append(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f},{label}")
    return "\n".join(lines) + "\n"
