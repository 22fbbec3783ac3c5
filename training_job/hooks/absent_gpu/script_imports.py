"""Gives the files of a job, and packages of Chainer's time, the stand-in for CuPy if they import it.

It is not put into `sys.modules`, where libraries look up whether an array can be CuPy's.
"""

import builtins
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from training_job.hooks.absent_gpu import gpu_zero
from training_job.hooks.compat import caller_origin


def install() -> None:
    """Replace the function behind `import`."""
    load = builtins.__import__

    @functools.wraps(load)
    def __import__(  # noqa: A001, N807 - its name
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the protocol's signature
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:  # noqa: ANN401 - a module
        root = name.partition(".")[0]
        if root not in ("cupy", "cupyx") or level or globals is None or not _is_scripts(globals):
            return load(name, globals, locals, fromlist or (), level)
        from training_job.hooks.absent_gpu import numpy_cupy  # noqa: PLC0415 - imports NumPy

        gpu_zero.note()
        module = numpy_cupy.find(name)
        return module if fromlist else numpy_cupy.find(root)

    builtins.__import__ = __import__


def _is_scripts(caller: Mapping[str, Any]) -> bool:
    """Whether a module with these globals is the job's own, or a package's of Chainer's time, but not Chainer's."""
    if caller_origin.is_chainer(caller):
        return False
    return caller_origin.is_job_file(caller, os.environ.get(caller_origin.JOB_VARIABLE)) or caller_origin.is_old_code(
        caller
    )
