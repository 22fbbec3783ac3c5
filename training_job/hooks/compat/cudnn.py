"""Chainer on a CuPy that has no cuDNN."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from importlib.machinery import PathFinder
from types import ModuleType

_WRONG_ADVICE = "cuDNN is not enabled"


@contextlib.contextmanager
def suppress_advice(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - what it says is said while it is imported
    """Leave out the advice to install cuDNN and then CuPy again where CuPy has no interface to it at all."""
    with warnings.catch_warnings():
        if _lacks_interface():
            warnings.filterwarnings("ignore", message=_WRONG_ADVICE, category=UserWarning)
        yield


def _lacks_interface() -> bool:
    """Whether there is a CuPy without `cupy.cudnn`. CuPy is not imported: a broken one is Chainer's to report."""
    cupy = importlib.util.find_spec("cupy")
    return cupy is not None and PathFinder.find_spec("cupy.cudnn", cupy.submodule_search_locations or []) is None
