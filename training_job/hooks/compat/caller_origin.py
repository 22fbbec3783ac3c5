"""Whose code asks: Chainer's and the job's own files get lost names, nobody else does."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

JOB_VARIABLE = "KEDJA_JOB_FOLDER"
"""Environment variable, set by `launch`: the working directory of the job, absolute."""

LIBRARIES = frozenset({"chainer", "chainermn", "onnx_chainer"})
"""Packages whose code is as old as Chainer."""

_IMPORT = re.compile(rb"^[ \t]*(?:import|from)\b.*\b(?:chainer|chainermn|onnx_chainer)\b", re.MULTILINE)
_NOT_THE_JOBS_OWN = frozenset({"site-packages", ".kedja"})
_RESULTS = frozenset({"outputs", "logs"})


def is_chainer(caller: Mapping[str, Any]) -> bool:
    """Whether the module of these globals is Chainer's."""
    return str(caller.get("__name__", "")).partition(".")[0] in LIBRARIES


def is_job_file(caller: Mapping[str, Any], job: str | None) -> bool:
    """Whether the module of these globals is a file of the job, outside of any installed package."""
    file = caller.get("__file__")
    if job is None or file is None:
        return False
    path = Path(file).absolute()
    return path.is_relative_to(job) and not _NOT_THE_JOBS_OWN & set(path.relative_to(job).parts)


def is_chainer_job_file(caller: Mapping[str, Any]) -> bool:
    """Whether the module of these globals is a file of a job that trains with Chainer."""
    return is_job_file(caller, os.environ.get(JOB_VARIABLE)) and in_chainer_job()


def in_chainer_job() -> bool:
    """Whether this process belongs to a job that trains with Chainer.

    It asks what the job's files say rather than what is imported: a script imports other things first, and a step
    before it, such as `prepare.py`, may not import Chainer at all.
    """
    job = os.environ.get(JOB_VARIABLE)
    return job is not None and imports_chainer(job)


@functools.cache
def imports_chainer(job: str) -> bool:
    """Whether one of the Python files in a job's folder imports Chainer."""
    return any(_IMPORT.search(content) for content in _sources(Path(job)))


def _sources(job: Path) -> Iterator[bytes]:
    """Yield what the job's own Python files say. One that cannot be read cannot be imported either."""
    for parent, folders, names in os.walk(job):
        skipped = _NOT_THE_JOBS_OWN | _RESULTS if Path(parent) == job else _NOT_THE_JOBS_OWN
        folders[:] = [name for name in folders if name not in skipped]
        for path in (Path(parent, name) for name in names if name.endswith(".py")):
            with contextlib.suppress(OSError):
                if path.is_file():
                    yield path.read_bytes()
