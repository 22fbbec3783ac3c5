# ruff: noqa: ANN401 - Chainer has no types
"""Lets a device of Chainer be used as the number that it was before Chainer 6: -1 is the CPU, else the GPU's index.

`StandardUpdater.device`, for example, was such a number: `if self.device >= 0`.
"""

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

_CPU = -1


def _number(device: Any) -> int:
    gpu = getattr(device, "device", None)  # a GpuDevice has CuPy's device
    return int(getattr(gpu, "id", _CPU))


@contextlib.contextmanager
def devices_compare(module: ModuleType) -> Iterator[None]:
    """Patch `chainer._backend.Device`, and each class derived from it, to compare with integers."""
    yield
    device = vars(module)["Device"]
    for name in ("lt", "le", "gt", "ge"):
        setattr(device, f"__{name}__", _comparison(getattr(operator, name)))
    device.__int__ = device.__index__ = _number
    device.__init_subclass__ = classmethod(_equals_its_number)


def _comparison(compare: Callable[[int, int], bool]) -> Callable[[Any, Any], Any]:
    def call(self: Any, other: Any) -> Any:
        return compare(_number(self), int(other)) if isinstance(other, int | np.integer) else NotImplemented

    return call


def _equals_its_number(kind: Any) -> None:
    equals = vars(kind).get("__eq__")
    if equals is None:
        return

    @functools.wraps(equals)
    def __eq__(self: Any, other: Any) -> Any:  # noqa: N807 - the method's name
        return _number(self) == other if isinstance(other, int | np.integer) else equals(self, other)

    kind.__eq__ = __eq__


@contextlib.contextmanager
def devices_select_gpus(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.backends.cuda`, so that a `Device` is accepted where a GPU's number was: `to_gpu(x, device)`."""
    yield
    names = vars(module)
    current, from_id = names["_get_device_or_current"], names["get_device_from_id"]
    to_gpu, cuda_device = names["to_gpu"], names["_get_cuda_device"]

    def plain(device: Any) -> Any:
        return device.device if isinstance(device, names["GpuDevice"]) else device

    names["_get_device_or_current"] = functools.wraps(current)(lambda device: current(plain(device)))
    names["_get_cuda_device"] = functools.wraps(cuda_device)(lambda *args: cuda_device(*map(plain, args)))

    @functools.wraps(from_id)
    def get_device_from_id(device_id: Any) -> Any:
        return from_id(int(device_id) if isinstance(device_id, names["_backend"].Device) else device_id)

    @functools.wraps(to_gpu)
    def send(array: Any, device: Any = None, stream: Any = None) -> Any:
        return to_gpu(array, plain(device), stream)

    names["get_device_from_id"], names["to_gpu"] = get_device_from_id, send
