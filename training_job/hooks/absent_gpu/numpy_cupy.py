# ruff: noqa: ANN401 - these take and return whatever CuPy does
"""A stand-in for CuPy whose arrays are NumPy's, for the files of a script on a machine without a GPU.

Chainer must not see it: its `cuda.available` would be true, and its functions would run CUDA sources.
"""

import functools
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import numpy as np

from training_job.hooks.compat.numpy import names

_VERSION = "13.6.0"  # of CuPy in the job environment of a GPU node
_RANDOM = ("gumbel", "laplace", "lognormal", "normal", "rand", "randn", "random", "random_sample", "standard_normal")


class _Module(ModuleType):
    """A module that has the names of one of NumPy's modules besides its own."""

    def __init__(self, name: str, behind: Any, **own: Any) -> None:
        super().__init__(name)
        vars(self).update(own, _behind=behind)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if hasattr(self._behind, name):
            return getattr(self._behind, name)
        if self._behind is np:
            return names.find(name)
        raise AttributeError(f"NumPy stands in for CuPy, as there is no GPU, and {self.__name__} has no {name!r} there")


class Device:
    """The only device, number 0."""

    def __init__(self, device: Any = None) -> None:
        self.id = 0 if device is None else int(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __int__(self) -> int:
        return self.id

    def use(self) -> None:
        """Do nothing: there is one device."""

    def synchronize(self) -> None:
        """Do nothing: NumPy has computed when it returns."""


class Stream(Device):
    """A stream of work, in which everything has been done already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - CuPy's signature
        super().__init__()


class _Pool:
    """A memory pool that holds nothing."""

    def free_all_blocks(self, *_: Any) -> None:
        """Do nothing."""

    def used_bytes(self) -> int:
        """Return 0."""
        return 0

    total_bytes = free_bytes = n_free_blocks = used_bytes
    malloc = free_all_free = set_limit = free_all_blocks


class Kernel:
    """CUDA source, which needs a GPU when it is called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - a kernel is never run
        self.name = next((arg for arg in reversed(args) if isinstance(arg, str)), "a kernel")

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raise the error.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{self.name} is CUDA source, and there is no GPU on this machine: run it on a GPU cluster")


def asnumpy(a: Any, stream: Any = None, order: Any = "C", **_: Any) -> Any:  # noqa: ARG001 - CuPy's signature
    """Return the array."""
    return np.asarray(a, order=order)


def array(obj: Any, dtype: Any = None, copy: bool | None = True, **more: Any) -> Any:  # noqa: FBT001, FBT002
    """Return a new array; with `copy=False` a new one only if it is needed, as in CuPy."""
    return np.array(obj, dtype, copy=True if copy else None, **more)


def scatter_add(a: Any, slices: Any, value: Any) -> None:
    """Add values at indices, which may repeat."""
    np.add.at(a, slices, value)


def get_array_module(*_: Any) -> Any:
    """Return NumPy, as all arrays are its own."""
    return np


def _plain_decorator(*args: Any, **_: Any) -> Any:
    """Return a function as it is: `@fuse`, `@fuse()`, `@memoize()`."""
    return args[0] if args and callable(args[0]) else lambda function: function


def _with_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of `numpy.random` take `dtype`, as CuPy's does."""

    @functools.wraps(function)
    def call(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        drawn = function(*args, **kwargs)
        return drawn if dtype is None else np.asarray(drawn, dtype)

    return call


def _uniform(low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = float) -> Any:
    return np.asarray(np.random.uniform(low, high, size), dtype)  # noqa: NPY002 - the generator that scripts seed


def _make_cuda() -> _Module:
    Stream.null = Stream()  # type: ignore[attr-defined] # as in CuPy
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, getDevice=lambda: 0, setDevice=lambda _: None, deviceSynchronize=lambda: None
    )
    return _Module(
        "cupy.cuda", SimpleNamespace(), Device=Device, Stream=Stream, Event=Stream, MemoryPool=_Pool, runtime=runtime,
        PinnedMemoryPool=_Pool, set_allocator=lambda *_: None, set_pinned_memory_allocator=lambda *_: None,
        is_available=lambda: True, get_current_stream=lambda: Stream.null,  # type: ignore[attr-defined] # as above
        cudnn_enabled=False,
    )  # fmt: skip


def _make() -> dict[str, _Module]:
    functions = {name: _with_dtype(getattr(np.random, name)) for name in _RANDOM}
    random = _Module("cupy.random", np.random, **functions, uniform=_uniform)
    pool = _Pool()
    kernels = dict.fromkeys(("ElementwiseKernel", "ReductionKernel", "RawKernel", "RawModule"), Kernel)
    cupy = _Module(
        "cupy", np, __version__=_VERSION, asnumpy=asnumpy, array=array, scatter_add=scatter_add, random=random,
        cuda=_make_cuda(), get_array_module=get_array_module, fuse=_plain_decorator, memoize=_plain_decorator,
        clear_memo=lambda: None, get_default_memory_pool=lambda: pool, get_default_pinned_memory_pool=lambda: pool,
        ndarray=np.ndarray, **kernels,
    )  # fmt: skip
    return {"cupy": cupy, "cupyx": _Module("cupyx", SimpleNamespace(), scatter_add=scatter_add)}


_ROOTS = _make()
CUPY = _ROOTS["cupy"]
"""The stand-in for the module `cupy`."""


def find(name: str) -> Any:
    """Return the stand-in for `cupy`, `cupyx` or a module inside.

    Raises:
        ModuleNotFoundError: There is none.
    """
    root, *path = name.split(".")
    found: Any = _ROOTS[root]
    for part in path:
        found = getattr(found, part, None)
        if found is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}: there is no GPU here, and NumPy stands in for CuPy", name=name
            )
    return found
