"""Whether GPU 0 becomes the CPU in this process, and which calls ask for GPU 0."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from training_job import metrics
from training_job.hooks.compat import caller_origin

VARIABLE = "KEDJA_ABSENT_GPU"
"""Environment variable that `launch` sets to `cpu` if GPU 0 is to become the CPU."""

_OLD_FUNCTIONS = "training_job.hooks.compat.old_chainer."
_NOTE = "No GPU on this machine: GPU 0, which the script asks for by itself, became the CPU."


def is_cpu() -> bool:
    """Whether GPU 0 becomes the CPU here."""
    return os.environ.get(VARIABLE) == "cpu"


@functools.cache
def note() -> None:
    """Record on the receipt that GPU 0 became the CPU, as its first note."""
    metrics.note(_NOTE, first=True)


def is_asked_for(device: Any) -> bool:  # noqa: ANN401 - a number, a device of CuPy, or None for the current one
    """Whether a device is GPU 0 or the current GPU. This is noted, as the CPU then takes its place."""
    # The stand-in for CuPy's device 0; Chainer's dummy device; the CPU, which GPU 0 has become before.
    if device is None or getattr(device, "id", None) in (0, -1) or getattr(device, "name", None) == "@numpy":
        note()
        return True
    try:
        is_zero = not isinstance(device, bool | str) and int(device) == 0
    except TypeError:
        return False
    if is_zero:
        note()
    return is_zero


def is_script(caller: Mapping[str, Any]) -> bool:
    """Whether a module with these globals is neither Chainer's nor Kedja's own, but for old functions of Chainer."""
    name = str(caller.get("__name__", ""))
    is_own = name.startswith("training_job.") and not name.startswith(_OLD_FUNCTIONS)
    return not is_own and not caller_origin.is_chainer(caller)
