"""Chainer on a CuPy that has no cuDNN."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from importlib.machinery import PathFinder
from types import ModuleType

_WRONG_ADVICE = "cuDNN is not enabled"


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
