# ruff: noqa: ANN401 - Chainer has no types
"""Patches Chainer so that GPU 0 is the CPU: devices, `to_gpu`, and what a script reads from `chainer.cuda`."""

import contextlib
import functools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.absent_gpu import gpu_zero, numpy_cupy


class _CudaModule(ModuleType):
    """`chainer.backends.cuda`, of which a script sees a GPU and the stand-in for CuPy, and Chainer what there is."""

    def _own(self, name: str, for_scripts: Any) -> Any:
        if gpu_zero.is_script(sys._getframe(2).f_globals):  # noqa: SLF001 - the only way to know the caller
            gpu_zero.note()
            return for_scripts
        return vars(self)[name]

    @property
    def available(self) -> Any:
        """Whether there is a GPU."""
        return self._own("available", for_scripts=True)

    @property
    def cupy(self) -> Any:
        """The module `cupy`."""
        return self._own("cupy", numpy_cupy.CUPY)


@contextlib.contextmanager
def in_cuda(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.backends.cuda`, which is imported without CuPy, as if it were not installed."""
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = None  # type: ignore[assignment] # an import of it fails then
    try:
        yield
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before
    names = vars(module)
    names.update(Device=numpy_cupy.Device, Stream=numpy_cupy.Stream, Event=numpy_cupy.Stream)
    names["memory_pool"] = names["pinned_memory_pool"] = numpy_cupy.CUPY.get_default_memory_pool()
    _replace_functions(names)
    module.__class__ = _CudaModule


def _replace_functions(names: dict[str, Any]) -> None:
    check, from_id, device_of = names["check_cuda_available"], names["get_device_from_id"], names["_get_cuda_device"]
    to_gpu, from_device_id = names["to_gpu"], names["GpuDevice"].from_device_id

    @functools.wraps(check)
    def check_cuda_available() -> None:
        if not gpu_zero.is_script(sys._getframe(1).f_globals):  # noqa: SLF001 - as above
            check()
        gpu_zero.note()

    @functools.wraps(from_id)
    def get_device_from_id(device_id: Any) -> Any:
        return (
            names["DummyDevice"] if device_id is not None and gpu_zero.is_asked_for(device_id) else from_id(device_id)
        )

    @functools.wraps(device_of)
    def get_cuda_device(*args: Any) -> Any:
        return device_of(*(arg for arg in args if not (_is_device(arg) and gpu_zero.is_asked_for(arg))))

    @functools.wraps(to_gpu)
    def send(array: Any, device: Any = None, stream: Any = None) -> Any:
        if not gpu_zero.is_asked_for(device):
            return to_gpu(array, device, stream)
        return names["_backend"]._convert_arrays(array, _copy)  # noqa: SLF001 - as `to_gpu` does for lists and tuples

    @functools.wraps(from_device_id)
    def from_number(device_id: Any) -> Any:
        return names["_cpu"].CpuDevice() if gpu_zero.is_asked_for(device_id) else from_device_id(device_id)

    names.update(check_cuda_available=check_cuda_available, get_device_from_id=get_device_from_id, to_gpu=send)
    names["_get_cuda_device"] = get_cuda_device
    names["GpuDevice"].from_device_id = staticmethod(from_number)


def _is_device(value: Any) -> bool:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_number or (not isinstance(value, type) and hasattr(value, "synchronize"))


def _copy(array: Any) -> Any:
    if array is None:
        return None
    if not isinstance(array, np.ndarray | np.generic):
        raise TypeError(f"The array sent to gpu must be an array or a NumPy scalar.\nActual type: {type(array)}.")
    return np.array(array)


@contextlib.contextmanager
def in_backend(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.backend.get_device`, which takes a device of CuPy."""
    yield
    names = vars(module)
    get = names["get_device"]

    @functools.wraps(get)
    def get_device(device_spec: Any) -> Any:
        if isinstance(device_spec, numpy_cupy.Device) and gpu_zero.is_asked_for(device_spec):
            return names["_cpu"].CpuDevice()
        return get(device_spec)

    names["get_device"] = get_device


@contextlib.contextmanager
def in_device_resident(module: ModuleType) -> Iterator[None]:
    """Patch `to_gpu` of links."""
    yield
    _stay(vars(module)["DeviceResident"])


@contextlib.contextmanager
def in_variable(module: ModuleType) -> Iterator[None]:
    """Patch `to_gpu` of variables and parameters."""
    yield
    _stay(vars(module)["Variable"])
    _stay(vars(module)["Parameter"])


def _stay(kind: Any) -> None:
    to_gpu = kind.to_gpu

    @functools.wraps(to_gpu)
    def stay(self: Any, device: Any = None) -> Any:
        return self if gpu_zero.is_asked_for(device) else to_gpu(self, device)

    kind.to_gpu = stay
