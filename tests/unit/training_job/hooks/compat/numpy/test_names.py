import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from training_job.hooks.compat import caller_origin
from training_job.hooks.compat.numpy import names as numpy_names


def ask(name: str, **module: str) -> Any:  # noqa: ANN401 - whatever NumPy has
    """Ask for `numpy.<name>` from a module of this description."""
    namespace: dict[str, Any] = {"np": np, **module}
    exec(f"found = np.{name}", namespace)  # noqa: S102 - the caller's module is what is tested
    return namespace["found"]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    # This process has not imported Chainer yet; that it has is all that counts.
    monkeypatch.setitem(sys.modules, "chainer", ModuleType("chainer"))
    numpy_names.install()


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("int", int),
        ("float", float),
        ("object", object),
        ("complex_", np.complex128),
        ("unicode", str),
        ("Inf", np.inf),
    ],
)
def test_chainer_and_the_script_get_the_lost_names(name: str, meaning: object) -> None:
    assert ask(name, __name__="chainer.functions.x") is meaning
    assert ask(name, __name__="__main__") is meaning


def test_the_scalar_types_by_kind() -> None:
    types = ask("sctypes", __name__="chainer.x")
    assert np.int64 in types["int"]
    assert np.float16 in types["float"]


def test_asscalar() -> None:
    assert ask("asscalar", __name__="__main__")(np.array([3])) == 3


CALLS: dict[str, Any] = {
    "np.in1d([[1, 2], [3, 4]], [2, 4])": [False, True, False, True],
    "np.in1d([1, 2], [2], invert=True)": [True, False],
    "np.asfarray([1, 2]).dtype == np.float64": True,
    "np.asfarray([1], dtype=np.float32).dtype == np.float32": True,
    "np.asfarray([1], dtype='int32').dtype == np.float64": True,
    "np.find_common_type([np.float32], [np.int64]) == np.float32": True,
    "np.find_common_type([np.int64, np.int8], [np.float32]) == np.float64": True,
    "np.find_common_type([], [np.int8, np.uint8]) == np.int16": True,
    "np.find_common_type([], []) is None": True,
    "np.cast['f']([1, 2]).dtype == np.float32": True,
    "np.nbytes[np.float64]": 8,
    "np.issubsctype(np.array([1.0]), np.floating)": True,
    "np.issubsctype('i4', float)": False,
    "np.obj2sctype(np.array([1, 2], 'i2')) is np.int16": True,
    "np.obj2sctype(1, default=3)": 3,
    "np.sctype2char('float32')": "f",
    "np.issctype(np.int32), np.issctype(object), np.issctype(3)": [True, False, False],
    "np.issubclass_(bool, int), np.issubclass_(3, int)": [True, False],
    "np.msort([[3, 1], [1, 2]])": [[1, 1], [3, 2]],
    "np.alen([1, 2]), np.alen(3)": [2, 1],
    "np.rank([[1]])": 2,
    "np.fastCopyAndTranspose(np.array([[1, 2]]))": [[1], [2]],
    "np.int0 is np.intp": True,
    "np.math.factorial(3)": 6,
    "np.safe_eval('[1]')": [1],
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a NumPy that still has them
@pytest.mark.parametrize("call", CALLS)
def test_what_the_lost_functions_did(call: str) -> None:
    found = eval(call, {"np": np, "__name__": "__main__"})  # noqa: S307 - as a script calls them
    assert np.asarray(found).tolist() == CALLS[call]


def test_another_package_gets_numpys_own_answer() -> None:
    with pytest.raises(AttributeError, match="deprecated alias"):
        ask("int", __name__="scipy.x", __file__="/lib/site-packages/scipy/x.py")


def test_a_module_of_the_job_gets_them_and_a_package_installed_for_it_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(caller_origin.JOB_VARIABLE, str(tmp_path))
    asked = {"__name__": "helper", "__file__": str(tmp_path / "helper.py")}
    assert caller_origin.is_old_code(asked)
    inner = {"__name__": "p", "__file__": str(tmp_path / ".kedja/packages/p.py")}
    assert not caller_origin.is_old_code(inner)
    monkeypatch.setenv(caller_origin.JOB_VARIABLE, "/elsewhere")
    assert not caller_origin.is_old_code(asked)
    monkeypatch.delenv(caller_origin.JOB_VARIABLE)
    assert not caller_origin.is_old_code(asked)


def test_a_name_that_numpy_never_had() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ask("nothing", __name__="__main__")


def test_installing_again_changes_nothing() -> None:
    before = np.__getattr__
    numpy_names.install()
    assert np.__getattr__ is before


@pytest.mark.parametrize(
    "name",
    [name for name in (*numpy_names._PYTHON_TYPES, *numpy_names._RENAMED, *numpy_names._MADE) if name not in vars(np)],
)
def test_every_name_has_a_meaning(name: str) -> None:
    assert numpy_names.find(name) is not None
