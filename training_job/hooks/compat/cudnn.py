"""Gives CuPy 13 the cuDNN 8 that is installed as a package, and Chainer a CuPy that has no interface to cuDNN."""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

_WRONG_ADVICE = "cuDNN is not enabled"
_PACKAGE = "nvidia-cudnn-cu12"
_LIBRARY = "nvidia/cudnn/lib/libcudnn.so.8"


@contextlib.contextmanager
def preload(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the loader keeps the library, not a module
    """Load cuDNN 8 from its package, if that is installed, before CuPy asks the dynamic loader for it.

    CuPy 13.6 looks in `~/.cupy` and on the loader's path, not in the package (`cupy/_environment.py`), but the loader
    doesn't search for a library that the process already has by the same name. This one is a table of functions, which
    loads the others (1 GB) from its own folder when they are called, so it costs nothing on a machine without a GPU.
    """
    path = _packaged_library()
    if path is not None:
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            warnings.warn(
                f"cuDNN 8 cannot be loaded: {error}. Chainer trains without it.", RuntimeWarning, stacklevel=1
            )
    yield


def _packaged_library() -> Path | None:
    """Return where the package has cuDNN 8, or None if it isn't installed or has another version."""
    try:
        path = Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_LIBRARY)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


@contextlib.contextmanager
def suppress_advice(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - it warns while it is imported
    """Suppress the advice to install cuDNN and reinstall CuPy, if CuPy has no interface to cuDNN."""
    with warnings.catch_warnings():
        if _lacks_interface():
            warnings.filterwarnings("ignore", message=_WRONG_ADVICE, category=UserWarning)
        yield


def _lacks_interface() -> bool:
    """Whether CuPy is installed without `cupy.cudnn`. It is not imported, as Chainer reports a broken CuPy."""
    cupy = importlib.util.find_spec("cupy")
    return cupy is not None and PathFinder.find_spec("cupy.cudnn", cupy.submodule_search_locations or []) is None
