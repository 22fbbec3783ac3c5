"""Writes an experiment that is ready to drop, for `kedja init`."""

import math
import random
from pathlib import Path

from kedja_cli.errors import CommandError

_TEMPLATES = Path(__file__).parent / "templates"
_FILES = {"scripts/train.py": "train.py.txt", "scripts/job.yaml": "job.yaml"}
_POINTS = 400


def write_experiment(folder: Path, *, sample: bool) -> list[Path]:
    """Write `scripts/` and `data/` into a folder; return the files.

    Raises:
        CommandError: If one of the files exists already, and then nothing is written; or if a file cannot be written.
    """
    files = {folder / name: (_TEMPLATES / template).read_text() for name, template in _FILES.items()}
    if sample:
        files[folder / "data" / "points.csv"] = sample_points()
    existing = [path for path in files if path.exists()]
    if existing:
        raise CommandError(
            f"{existing[0]} exists already: nothing was written.",
            "Give another folder, or move the existing files.",
            details=[str(path) for path in existing] if len(existing) > 1 else (),
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "data").mkdir(exist_ok=True)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}.") from error
    return list(files)


def sample_points() -> str:
    """Return points of two classes as CSV: a noisy ring around a noisy disc, not linearly separable."""
    chance = random.Random(0)  # noqa: S311 - not a secret, and the same each time
    lines = ["x,y,label"]
    for number in range(_POINTS):
        label = number % 2
        radius, angle = (1.0 if label == 0 else 2.5) * chance.uniform(0.7, 1.1), chance.uniform(0, 2 * math.pi)
        lines.append(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f},{label}")
    return "\n".join(lines) + "\n"
