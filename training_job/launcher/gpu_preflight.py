"""Whether the GPU that a command asks for is there, said before the script starts.

Only words that can mean nothing else count: `--gpu`, `--gpus`, `--gpu_id`, `--gpu-id` and `--device`. What a number
after them means is the script's business: which GPU, how many, or a switch. So only a node without any GPU is an error.
"""

import ctypes
import logging
import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from training_job.errors import DeviceError
from training_job.launcher.run_environment import parameters

logger = logging.getLogger(__name__)

_NAMES = ("gpu", "gpus", "gpu_id", "gpu-id", "device")
_GPU = re.compile(r"(?:@?(?:cupy|cuda):)?(\d+)(?:,\d+)*|@?(?:cupy|cuda)|true")


def check(argv: Sequence[str], packages: Path, *, with_chainer: bool) -> None:
    """Check that there is a GPU, if the arguments ask for one, and CuPy, if the job uses Chainer.

    `packages` is the folder of what was installed for the job. A number that is too high is a warning.

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
        if with_chainer and PathFinder.find_spec("cupy", [str(packages), *sys.path]) is None:
            raise DeviceError(f"{asked} asks for a GPU, and CuPy is not installed: use an environment that has it")
        if int(match[1] or 0) >= count + (name == "gpus"):
            logger.warning("%s may ask for more than there is: GPUs that can be used here: %d", asked, count)


def visible_gpus() -> int:
    """Return how many GPUs the driver shows to this process: 0 without a driver. CUDA_VISIBLE_DEVICES counts."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
