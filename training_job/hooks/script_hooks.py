"""Hooks that are installed in every Python process of a job, before the script runs."""

import os
import sys
from types import TracebackType

from training_job import metrics
from training_job.hooks import argument_hooks, azureml_v1, python2_names, worker_hooks
from training_job.hooks.compat.caller_origin import JOB_VARIABLE


def install() -> None:
    """Serve `azureml.core` and the job's own packages, and report the exception that ends the process to `launch`."""
    if JOB_VARIABLE in os.environ:
        # Last, so that they hide nothing: a script in a subfolder imports the package that its setup.py would install.
        sys.path.append(os.environ[JOB_VARIABLE])
    azureml_v1.install()
    argument_hooks.install()
    worker_hooks.install()
    show = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        show(kind, error, traceback)
        module = error.name if isinstance(error, ModuleNotFoundError) else None
        hint = python2_names.hint(error)
        details = "; ".join((*getattr(error, "__notes__", ()), *([hint] if hint else ())))
        metrics.failure(f"{kind.__name__}: {error}" + (f" ({details})" if details else ""), module=module)

    sys.excepthook = excepthook
