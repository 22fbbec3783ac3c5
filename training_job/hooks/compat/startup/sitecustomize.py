# ruff: noqa: INP001 - the folder stands on the path itself and is no package
"""Python imports this at startup in every process of a job, as `launch` puts this folder first on PYTHONPATH.

It makes Chainer importable, provides the removed names of Python and `azureml.core` that old scripts use, makes GPU 0
the CPU if `launch` says so, and then runs the next `sitecustomize` on the path.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import training_job.hooks.script_hooks
from training_job.hooks.absent_gpu import installer as absent_gpu

_HERE = Path(__file__).resolve().parent

training_job.hooks.script_hooks.install()
absent_gpu.install()

_next = importlib.machinery.PathFinder.find_spec(
    "sitecustomize", [entry for entry in sys.path if Path(entry).resolve() != _HERE]
)
if _next is not None and _next.loader is not None:
    _next.loader.exec_module(importlib.util.module_from_spec(_next))
