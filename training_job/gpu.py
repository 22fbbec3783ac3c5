"""Whether the GPU that a command asks for is there, said before the script starts.

Only words that can mean nothing else count: `--gpu`, `--gpus`, `--gpu_id`, `--gpu-id` and `--device`.
"""

import ctypes
import importlib.util
import re
from collections.abc import Sequence

from training_job.environment_facts import parameters
from training_job.errors import DeviceError

_NAMES = ("gpu", "gpus", "gpu_id", "gpu-id", "device")
_GPU = re.compile(r"(?:@?(?:cupy|cuda):)?(\d+)(?:,\d+)*|@?(?:cupy|cuda)|true")


def check(argv: Sequence[str]) -> None:
    """Check the GPU that the arguments ask for.

    Raises:
        DeviceError: It is not there, or CuPy is not installed.
    """
    for name, value in parameters(argv).items():
        match = _GPU.fullmatch(value.lower()) if name in _NAMES else None
        if match is None or (name == "device" and value == "true"):
            continue
        asked = f"--{name} {value}" if value != "true" else f"--{name}"
        count = visible()
        number = int(match[1] or 0)
        if number >= count:
            raise DeviceError(
                f"{asked} asks for a GPU, and {count or 'none'} can be used here: run on a GPU cluster, or give -1 "
                "(the CPU)"
            )
        if importlib.util.find_spec("cupy") is None:
            raise DeviceError(f"{asked} asks for a GPU, and CuPy is not installed: use an environment that has it")


def visible() -> int:
    """Return how many GPUs the driver shows to this process: 0 without a driver. CUDA_VISIBLE_DEVICES counts."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
