"""Chainer on a CuPy that has no cuDNN."""

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from types import ModuleType

_WRONG_ADVICE = "cuDNN is not enabled"


@contextlib.contextmanager
def no_advice(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - what it says is said while it is imported
    """Leave out the advice to install cuDNN and then CuPy again where CuPy has no interface to it at all."""
    with warnings.catch_warnings():
        if importlib.util.find_spec("cupy") is not None and importlib.util.find_spec("cupy.cudnn") is None:
            warnings.filterwarnings("ignore", message=_WRONG_ADVICE, category=UserWarning)
        yield
