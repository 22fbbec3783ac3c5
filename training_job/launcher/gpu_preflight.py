"""Checks before a script starts whether the GPU that its arguments request is available.

Only unambiguous options count: `--gpu`, `--gpus`, `--gpu_id`, `--gpu-id` and `--device`. Their number may be the GPU's
index, a count or a switch, so only a node without any GPU is an error.
"""

import ctypes
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder

from training_job.errors import DeviceError
from training_job.launcher.run_environment import parameters

logger = logging.getLogger(__name__)

OPTIONAL_VARIABLE = "KEDJA_GPU_OPTIONAL"
"""Environment variable that is `1` on one machine, where a script that asks for GPU 0 by itself may run on the CPU."""

_NAMES = ("gpu", "gpus", "gpu_id", "gpu-id", "device")
_GPU = re.compile(r"(?:@?(?:cupy|cuda):)?(\d+)(?:,\d+)*|@?(?:cupy|cuda)|true")


def check(argv: Sequence[str], *, with_chainer: bool) -> None:
    """Check that there is a GPU, if the arguments request one, and CuPy, if the job uses Chainer.

    Too high a number is only a warning. CuPy is the environment's: it is never installed for a job.

    Raises:
        DeviceError: No GPU can be used, or CuPy is not installed.
    """
    for name, value in parameters(argv).items():
        match = _GPU.fullmatch(value.lower()) if name in _NAMES else None
        if match is None or (name, value) in (("device", "true"), ("gpus", "0")):
            continue
        asked = f"--{name} {value}" if value != "true" else f"--{name}"
        count = visible_gpus()
        if count == 0:
            raise DeviceError(
                f"{asked} asks for a GPU, and none can be used here: run on a GPU cluster, or give -1 (the CPU)"
            )
        if with_chainer and PathFinder.find_spec("cupy", sys.path) is None:
            raise DeviceError(f"{asked} asks for a GPU, and CuPy is not installed: use an environment that has it")
        if int(match[1] or 0) >= count + (name == "gpus"):
            logger.warning("%s may ask for more than there is: GPUs that can be used here: %d", asked, count)


def is_optional() -> bool:
    """Whether GPU 0 may become the CPU here."""
    return os.environ.get(OPTIONAL_VARIABLE) == "1"


def visible_gpus() -> int:
    """Return how many GPUs the driver shows to this process, given CUDA_VISIBLE_DEVICES; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
