"""Tells whether calling code was written for the libraries of Chainer's time: only such code gets what they have lost.

That is Chainer, the job's own files, and the installed packages that `package_origin` names, each in a process that
trains with Chainer. All other code sees the libraries that are installed.
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from training_job.hooks.compat import package_origin

JOB_VARIABLE = "KEDJA_JOB_FOLDER"
"""Environment variable that `launch` sets to the absolute path of the job's working directory."""

LIBRARIES = frozenset({"chainer", "chainermn", "onnx_chainer"})
"""Chainer's packages."""

_IMPORT = re.compile(rb"^[ \t]*(?:import|from)\b.*\b(?:chainer|chainermn|onnx_chainer)\b", re.MULTILINE)
_IMPORT_IN_NOTEBOOK = re.compile(rb"(?:\\n|\")[ \t]*(?:import|from)\b[^\"\\]*\b(?:chainer|chainermn|onnx_chainer)\b")
"""The same in the JSON of a notebook."""
_IMPORTED = re.compile(rb"^[ \t]*(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))", re.MULTILINE)
"""The module of a `from`, or the list of an `import`."""
_IMPORTED_IN_NOTEBOOK = re.compile(rb"(?:\\n|\")[ \t]*(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))")
_PATTERNS = {".py": (_IMPORT, _IMPORTED), ".ipynb": (_IMPORT_IN_NOTEBOOK, _IMPORTED_IN_NOTEBOOK)}
_NOT_THE_JOBS_OWN = frozenset({"site-packages", ".kedja"})
_RESULTS = frozenset({"outputs", "logs"})
_IMPORT_SYSTEM = frozenset({"importlib", "_frozen_importlib", "_frozen_importlib_external"})
_HOOKS = "training_job.hooks."


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


def is_old_code(caller: Mapping[str, Any]) -> bool:
    """Whether a module with these globals gets lost names: Chainer, the script, its files, packages of the time."""
    if is_chainer(caller):
        return True
    if not in_chainer_process():
        return False
    return _is_old_module(caller.get("__name__"), caller.get("__file__"), os.environ.get(JOB_VARIABLE))


@functools.cache
def _is_old_module(name: str | None, file: str | None, job: str | None) -> bool:
    if name == "__main__" or is_job_file({"__file__": file}, job):
        return True
    return name is not None and file is not None and package_origin.is_of_chainers_time(name, file)


def called_by_old_code(depth: int = 1) -> bool:
    """Whether old code called the function that calls this one (`depth` 1), or its caller (2), and so on.

    Frames of the import system and of Kedja's hooks are skipped: these act on behalf of an `import` or a call.
    """
    frame: FrameType | None = sys._getframe(depth + 1)  # noqa: SLF001 - the only way to know the caller
    while frame is not None and _is_in_between(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return frame is not None and is_old_code(frame.f_globals)


def _is_in_between(module: str) -> bool:
    return module.startswith(_HOOKS) or module.partition(".")[0] in _IMPORT_SYSTEM


def in_chainer_process() -> bool:
    """Whether this process has imported Chainer, or belongs to a job that trains with it."""
    return "chainer" in sys.modules or in_chainer_job()


def in_chainer_job() -> bool:
    """Whether this process belongs to a job that trains with Chainer.

    The job's files decide, not the imported modules: a script may import Chainer late, and a step such as `prepare.py`
    not at all.
    """
    job = os.environ.get(JOB_VARIABLE)
    return job is not None and imports_chainer(job)


@functools.cache
def imports_chainer(job: str) -> bool:
    """Whether a Python file or notebook in a job's folder imports Chainer, or an installed package that does."""
    imported: set[str] = set()
    for suffix, content in _sources(Path(job)):
        chainer, names = _PATTERNS[suffix]
        if chainer.search(content):
            return True
        for module, modules in names.findall(content):
            listed = (part.split() for part in modules.decode("ascii", "ignore").split(","))
            imported.update([module.decode("ascii", "ignore")] if module else [words[0] for words in listed if words])
    return any(
        package_origin.is_built_on_chainer(name)
        for name in sorted({name.partition(".")[0] for name in imported if name})
    )


def _sources(job: Path) -> Iterator[tuple[str, bytes]]:
    """Yield suffix and content of the job's own Python files and notebooks, without unreadable ones."""
    for parent, folders, names in os.walk(job):
        skipped = _NOT_THE_JOBS_OWN | _RESULTS if Path(parent) == job else _NOT_THE_JOBS_OWN
        folders[:] = [name for name in folders if name not in skipped]
        for path in (Path(parent, name) for name in names if name.endswith(tuple(_PATTERNS))):
            with contextlib.suppress(OSError):
                if path.is_file():
                    yield path.suffix, path.read_bytes()
