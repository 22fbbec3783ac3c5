"""Which device a network runs on."""

from typing import Any

import chainer

from training_job.errors import DeviceError

CPU = -1


def usable_gpus() -> int:
    """Return how many GPUs CuPy can use here: 0 without CuPy, a driver or a GPU."""
    if not chainer.backends.cuda.available:
        return 0
    try:
        return int(chainer.backends.cuda.cupy.cuda.runtime.getDeviceCount())
    except chainer.backends.cuda.cupy.cuda.runtime.CUDARuntimeError:
        return 0


def choose(gpu: int | None) -> Any:  # noqa: ANN401 - Chainer has no types
    """Return a Chainer device: GPU number `gpu`, the CPU for -1, and for None the first GPU if there is one.

    Raises:
        DeviceError: The requested GPU is not available.
    """
    count = usable_gpus()
    if gpu is None:
        gpu = 0 if count else CPU
    if gpu == CPU:
        return chainer.get_device("@numpy")
    if not 0 <= gpu < count:
        raise DeviceError(
            f"GPU {gpu} was requested and {count or 'none'} can be used here: leave --gpu_id out, or give -1 (the CPU)"
        )
    return chainer.get_device(f"@cupy:{gpu}")
