from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_job.compat import callers, numpy_names


def ask(name: str, **module: str) -> Any:  # noqa: ANN401 - whatever NumPy has
    """Ask for `numpy.<name>` from a module of this description."""
    namespace: dict[str, Any] = {"np": np, **module}
    exec(f"found = np.{name}", namespace)  # noqa: S102 - the caller's module is what is tested
    return namespace["found"]


@pytest.fixture(autouse=True)
def _installed() -> None:
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


def test_another_package_gets_numpys_own_answer() -> None:
    with pytest.raises(AttributeError, match="deprecated alias"):
        ask("int", __name__="scipy.x", __file__="/lib/site-packages/scipy/x.py")


def test_a_module_of_the_job_gets_them_and_a_package_installed_for_it_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(callers.JOB_VARIABLE, str(tmp_path))
    file = str(tmp_path / "helper.py")
    asked = {"__name__": "helper", "__file__": file}
    assert numpy_names._is_old_code(asked, str(tmp_path))
    assert not numpy_names._is_old_code(asked, None)
    assert not numpy_names._is_old_code(asked, "/elsewhere")
    inner = {"__name__": "p", "__file__": str(tmp_path / ".kedja/packages/p.py")}
    assert not numpy_names._is_old_code(inner, str(tmp_path))


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
