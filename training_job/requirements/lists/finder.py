"""Finds the files that may say which packages a drop needs."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

REQUIREMENTS = "requirements.txt"
SETUP = "setup.py"
CONDA = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")


def entry_script(command: Sequence[str], *, is_shell: bool) -> PurePosixPath | None:
    """Return the first Python file or notebook that a command names, or None."""
    words = list(command)
    if is_shell:
        try:
            words = [word for text in command for word in shlex.split(text, comments=True)]
        except ValueError:
            words = [word for text in command for word in text.split()]
    return next((PurePosixPath(word) for word in words if word.endswith((".py", ".ipynb"))), None)


def candidates(top: Path, script: PurePosixPath | None) -> Iterator[Path]:
    """Yield the lists of packages that exist in a drop's folder `top`, in the order in which they count.

    `requirements.txt` beside the entry script, then at the top; `setup.py` in the same two folders, then a conda
    environment file.
    """
    beside = top / script.parent if script is not None else top
    is_inside = beside.resolve().is_relative_to(top.resolve())
    folders = list(dict.fromkeys([beside, top])) if is_inside else [top]
    for names in ((REQUIREMENTS,), (SETUP,), CONDA):
        yield from (path for folder in folders for name in names if (path := folder / name).is_file())
