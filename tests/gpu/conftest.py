"""What needs a real GPU. Without one everything here is skipped, and says so.

`PYTHON -m pytest --confcutdir=tests/gpu tests/gpu`, with a Python that has Chainer and CuPy.
"""

import importlib.util

import pytest

import training_job  # noqa: F401 - fixes Chainer before a test module imports it


def _lack() -> str | None:
    if importlib.util.find_spec("chainer") is None:
        return "Chainer is not installed in this environment"
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed in this environment"
    from training_job import device  # noqa: PLC0415 - imports Chainer

    return None if device.usable_gpus() else "no GPU can be used here"


LACK = _lack()
collect_ignore = [] if importlib.util.find_spec("chainer") else ["test_libraries.py", "trainer/test_steps.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if LACK is not None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {LACK}"))
