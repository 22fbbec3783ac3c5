"""What CuPy has lost since version 7, as scripts call it, on a real CuPy."""

from typing import Any

import pytest

CALLS: dict[str, Any] = {
    "[xp.int, xp.float, xp.bool, xp.object]": [int, float, bool, object],
    "xp.zeros(2, dtype=xp.float).dtype.name": "float64",
    "xp.asscalar(xp.ones(1))": 1,
    "xp.product(xp.array([2, 3])).item()": 6,
    "xp.in1d(xp.array([1, 2]), xp.array([2])).tolist()": [False, True],
    "xp.core.core.ndarray is xp.ndarray": True,
    "xp.util.memoize is xp.memoize": True,
    "xp.sparse.csr_matrix(xp.eye(2)).nnz": 2,
    "callable(xp.cuda.compile_with_cache)": True,
}


def run(code: str, **names: Any) -> Any:  # noqa: ANN401 - a script's
    """Run the code as a script, and return its `found`."""
    import chainer  # noqa: F401, PLC0415 - the layer acts in processes that train with Chainer
    import cupy  # noqa: PLC0415 - a machine without a GPU may not have it

    script: dict[str, Any] = {"__name__": "__main__", "xp": cupy, **names}
    exec(code, script)  # noqa: S102 - the caller's module is what is tested
    return script["found"]


@pytest.mark.parametrize("call", CALLS)
def test_names_of_cupy_7(call: str) -> None:
    assert run(f"found = {call}") == CALLS[call]


def test_scatter_add() -> None:
    code = "found = xp.zeros(3); xp.scatter_add(found, xp.array([0, 2, 2]), xp.array([1.0, 2.0, 3.0]))"
    assert run(code).tolist() == [1, 0, 5]


def test_modules_under_their_old_names() -> None:
    code = (
        "from cupy.core import core, elementwise\nfrom cupy.util import PerformanceWarning\nfound = core, elementwise"
    )
    assert all(run(code))


def test_other_packages_see_todays_cupy() -> None:
    with pytest.raises(AttributeError):
        run("found = xp.int", __name__="elsewhere.x", __file__="/nowhere/elsewhere/x.py")
