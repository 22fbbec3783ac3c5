"""Finds a dropped file by its name, for code that would download it or look for it in Chainer's cache.

The data is searched first, then the scripts. A file at the top takes precedence over those in folders.
"""

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from training_job import metrics
from training_job.hooks.compat.caller_origin import JOB_VARIABLE

DATA_VARIABLE = "KEDJA_DATA"
_NOT_SCRIPTS = frozenset({"outputs", "logs", ".kedja"})
"""Folders of a job that hold no dropped scripts."""


def data_folder() -> Path | None:
    """Return the folder of the dropped data, or None if the job has none."""
    folder = os.environ.get(DATA_VARIABLE)
    return None if folder is None else Path(folder)


def name_in(url: str) -> str:
    """Return the name of the file that a URL leads to; empty if it has none."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def find(name: str) -> Path | None:
    """Return the dropped file of this name, or None if there is none, or several in different folders."""
    if not name:
        return None
    for folder in (os.environ.get(DATA_VARIABLE), os.environ.get(JOB_VARIABLE)):
        if folder is None:
            continue
        top = Path(folder, name)
        found = [top] if top.is_file() else _by_name(folder).get(name, [])
        if len(found) == 1:
            log(f"{name} is taken from the dropped files")
            return found[0]
        if found:
            log(f"{name} is not taken from the dropped files, as there are {len(found)} of this name")
    return None


def note_missing(name: str) -> None:
    """Note that the script wanted a file that could not be downloaded."""
    metrics.note(f"{name} could not be downloaded: drop it among the data under that name, and it is used.")


def log(text: str) -> None:
    """Write a line to the job's log."""
    print(f"kedja: {text}", file=sys.stderr, flush=True)  # noqa: T201 - as the docstring says


@functools.cache
def _by_name(folder: str) -> Mapping[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        if parent == folder:
            folders[:] = [name for name in folders if name not in _NOT_SCRIPTS]
        for name in names:
            found.setdefault(name, []).append(Path(parent, name))
    return found
