"""CuPy's lost names, on modules that stand for CuPy: what needs a GPU is in tests/gpu."""

import sys
from types import ModuleType

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere
from training_job.hooks.compat.libraries import cupy_names


@pytest.fixture(autouse=True)
def _cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put modules of CuPy 13's names in the place of CuPy."""
    modules = {name: ModuleType(name) for name in ("cupy", "cupy._core", "cupy._core.core", "cupy._util", "cupyx")}
    modules["cupy"].__path__ = []
    vars(modules["cupy"]).update(float64="float64", prod="prod", inf=float("inf"), _core=modules["cupy._core"])
    vars(modules["cupyx"])["scatter_add"] = "scatter_add"
    vars(modules["cupy._util"])["memoize"] = "memoize"
    vars(modules["cupy._core.core"])["ndarray"] = "ndarray"
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("cupy.core", "cupy.core.core", "cupy.util"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    cupy_names.install(modules["cupy"])


def test_names_of_numpy_and_of_cupy() -> None:
    found = run("import cupy; x = [cupy.int, cupy.bool, cupy.float_, cupy.product, cupy.Inf, cupy.scatter_add]")
    assert found["x"] == [int, bool, "float64", "prod", float("inf"), "scatter_add"]


def test_modules_that_are_private_today() -> None:
    code = "import cupy; from cupy.core.core import ndarray; from cupy import util"
    assert run(f"{code}; x = ndarray, util.memoize, cupy.util.memoize")["x"] == ("ndarray", "memoize", "memoize")


def test_other_packages_see_todays_cupy() -> None:
    for code in ("cupy.int", "cupy.scatter_add", "cupy.core"):
        with pytest.raises(AttributeError):
            run_elsewhere(f"import cupy; {code}")
    with pytest.raises(ModuleNotFoundError):
        run_elsewhere("import cupy.util")
