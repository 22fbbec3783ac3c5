"""The file that says which packages a drop needs: the one that job.yaml names, else the first that asks for any."""

import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training_job.errors import PackagesError
from training_job.requirements.lists import conda_file, finder, line, setup_script
from training_job.requirements.lists.line import Lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The file that is used, by its name in the job's folder, and what it asks for."""

    file: str
    lines: Lines


def find(top: Path, script: PurePosixPath | None, named: PurePosixPath | None = None) -> Source | None:
    """Return the source of a drop whose files are in the folder `top`, or None if no file asks for packages.

    Raises:
        PackagesError: The named file does not exist, or it or a requirements.txt cannot be read.
    """
    if named is not None:
        path = top / named
        if not path.is_file():
            raise PackagesError(f"{named}, which job.yaml names as kedja.requirements, is not in the drop: drop it")
        return Source(file=named.as_posix(), lines=_read(path, top))
    for path in finder.candidates(top, script):
        try:
            lines = _read(path, top)
        except PackagesError as error:
            if path.name == finder.REQUIREMENTS:
                raise
            # Dropped with the rest of a repository, and possibly of no use here.
            logger.warning("%s", error)
            continue
        if lines.lines:
            return Source(file=path.relative_to(top).as_posix(), lines=lines)
    return None


def _read(path: Path, top: Path) -> Lines:
    if path.name == finder.SETUP:
        return setup_script.read(path, top)
    if path.suffix in (".yml", ".yaml"):
        return conda_file.read(path, top)
    return line.read(path, top)
