"""Patches for packages that this environment does not have, each tried on a module made here."""

import _queue
import shutil
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from training_job.hooks.compat import caffe, cudnn, module_stubs, mpi
from training_job.hooks.compat.numpy import behaviour as numpy_behaviour


def made(**names: Any) -> Any:  # noqa: ANN401 - a module has whatever is put into it
    module = ModuleType("made")
    vars(module).update(names)
    return module


@pytest.fixture
def cupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an empty CuPy on the path."""
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    return tmp_path / "cupy"


@pytest.mark.parametrize("has_interface", [False, True])
def test_the_advice_to_install_cudnn_is_left_out_where_it_cannot_help(cupy: Path, *, has_interface: bool) -> None:
    # As one that finds no driver: Chainer continues without it.
    (cupy / "__init__.py").write_text("raise ImportError('libcuda.so.1: cannot open shared object file')")
    if has_interface:
        (cupy / "cudnn.py").touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with cudnn.suppress_advice(made()):
            warnings.warn("cuDNN is not enabled.\nPlease reinstall CuPy", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
    said = [str(warning.message).partition(".")[0] for warning in caught]
    assert said == (["cuDNN is not enabled"] if has_interface else []) + ["something else"]
    assert "cupy" not in sys.modules


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the package of cuDNN on the path. Returns where its library belongs."""
    record = tmp_path / "nvidia_cudnn_cu12-8.9.7.29.dist-info/METADATA"
    record.parent.mkdir()
    record.write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu12\nVersion: 8.9.7.29\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    library = tmp_path / "nvidia/cudnn/lib/libcudnn.so.8"
    library.parent.mkdir(parents=True)
    return library


def test_cudnn_of_the_package_is_loaded_before_cupy(library: Path) -> None:
    shutil.copyfile(_queue.__file__, library)  # any library that can be loaded
    assert str(library) not in Path("/proc/self/maps").read_text()
    with cudnn.preload(made()):
        assert str(library) in Path("/proc/self/maps").read_text()


def test_a_damaged_cudnn_is_named_and_cupy_is_imported(library: Path) -> None:
    library.write_bytes(b"\x7fELF")
    with pytest.warns(RuntimeWarning, match=f"cuDNN 8 cannot be loaded: {library}"), cudnn.preload(made()):
        pass


@pytest.mark.usefixtures("library")
def test_a_package_of_another_cudnn_is_left_alone() -> None:
    with cudnn.preload(made()):
        pass


class Hook:
    """Stands for `chainermn.global_except_hook`."""

    def __init__(self, before: object) -> None:
        self._orig_except_hook = before
        self.added = 0

    def add_hook(self) -> None:
        self.added += 1


@pytest.mark.parametrize(("size", "before", "added"), [("1", None, 0), ("2", None, 1), ("2", sys.excepthook, 0)])
def test_one_rank_ends_all_under_mpirun(monkeypatch: pytest.MonkeyPatch, size: str, before: object, added: int) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", size)
    hook = Hook(before)
    with mpi.abort_all_ranks(made(global_except_hook=hook)):
        pass
    assert hook.added == added


def test_an_array_of_one_is_an_integer_in_the_mended_module_alone() -> None:
    module = made()
    with numpy_behaviour.one_element_is_no_scalar(module):
        pass
    assert [module.int(value) for value in (np.array([3.0], np.float32), np.float32(4), True)] == [3, 4, 1]
    assert int is not module.int


def test_another_file_than_chainers_is_an_error() -> None:
    with pytest.raises(ImportError, match=r"Chainer 7\.8\.1 is expected"):
        caffe._serialized_description("DESCRIPTOR = None")


def test_what_was_lent_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real, lent = ModuleType("kedja_real"), ModuleType("kedja_real")
    monkeypatch.setitem(sys.modules, "kedja_real", real)
    with module_stubs.provide(lambda: {"kedja_real": lent, "kedja_none": lent})(made()):
        assert (sys.modules["kedja_real"], sys.modules["kedja_none"]) == (lent, lent)
    assert sys.modules["kedja_real"] is real
    assert "kedja_none" not in sys.modules
