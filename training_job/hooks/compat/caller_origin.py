"""Tells whether calling code is Chainer's, or a file of the job: only these get removed names."""

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

JOB_VARIABLE = "KEDJA_JOB_FOLDER"
"""Environment variable that `launch` sets to the absolute path of the job's working directory."""

LIBRARIES = frozenset({"chainer", "chainermn", "onnx_chainer"})
"""Chainer's packages."""

_IMPORT = re.compile(rb"^[ \t]*(?:import|from)\b.*\b(?:chainer|chainermn|onnx_chainer)\b", re.MULTILINE)
_IMPORT_IN_NOTEBOOK = re.compile(rb"(?:\\n|\")[ \t]*(?:import|from)\b[^\"\\]*\b(?:chainer|chainermn|onnx_chainer)\b")
"""The same in the JSON of a notebook."""
_PATTERNS = {".py": _IMPORT, ".ipynb": _IMPORT_IN_NOTEBOOK}
_NOT_THE_JOBS_OWN = frozenset({"site-packages", ".kedja"})
_RESULTS = frozenset({"outputs", "logs"})


def is_chainer(caller: Mapping[str, Any]) -> bool:
    """Whether a module with these globals belongs to Chainer."""
    return str(caller.get("__name__", "")).partition(".")[0] in LIBRARIES


def is_job_file(caller: Mapping[str, Any], job: str | None) -> bool:
    """Whether a module with these globals is a file in the job's folder `job`, outside of installed packages."""
    file = caller.get("__file__")
    if job is None or file is None:
        return False
    path = Path(file).absolute()
    return path.is_relative_to(job) and not _NOT_THE_JOBS_OWN & set(path.relative_to(job).parts)


def is_chainer_job_file(caller: Mapping[str, Any]) -> bool:
    """Whether a module with these globals is a file of a job that trains with Chainer."""
    return is_job_file(caller, os.environ.get(JOB_VARIABLE)) and in_chainer_job()


def in_chainer_job() -> bool:
    """Whether this process belongs to a job that trains with Chainer.

    The job's files decide, not the imported modules: a script may import Chainer late, and a step such as `prepare.py`
    not at all.
    """
    job = os.environ.get(JOB_VARIABLE)
    return job is not None and imports_chainer(job)


@functools.cache
def imports_chainer(job: str) -> bool:
    """Whether one of the Python files or notebooks in a job's folder imports Chainer."""
    return any(_PATTERNS[suffix].search(content) for suffix, content in _sources(Path(job)))


def _sources(job: Path) -> Iterator[tuple[str, bytes]]:
    """Yield suffix and content of the job's own Python files and notebooks, without unreadable ones."""
    for parent, folders, names in os.walk(job):
        skipped = _NOT_THE_JOBS_OWN | _RESULTS if Path(parent) == job else _NOT_THE_JOBS_OWN
        folders[:] = [name for name in folders if name not in skipped]
        for path in (Path(parent, name) for name in names if name.endswith(tuple(_PATTERNS))):
            with contextlib.suppress(OSError):
                if path.is_file():
                    yield path.suffix, path.read_bytes()
