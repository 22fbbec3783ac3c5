"""The check of the GPU that a command requests, on nodes with and without one."""

import sys
from pathlib import Path

import pytest

from training_job.errors import DeviceError
from training_job.launcher import gpu_preflight


@pytest.fixture(autouse=True)
def _one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_preflight, "visible_gpus", lambda: 1)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the environment's packages; there is no CuPy anywhere else."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def check(*argv: str, with_chainer: bool = False) -> None:
    gpu_preflight.check(["python", "train.py", *argv], with_chainer=with_chainer)


@pytest.mark.parametrize(
    ("argv", "warnings"),
    [
        (("--gpus", "1"), 0),
        (("--gpu",), 0),
        (("--gpu", "0"), 0),
        (("--device", "cuda:0"), 0),
        (("--gpu", "1"), 1),
        (("--gpus", "2"), 1),
        (("--device", "@cupy:3"), 1),
    ],
)
def test_where_there_is_a_gpu_the_script_decides_what_a_number_means(
    caplog: pytest.LogCaptureFixture, argv: tuple[str, ...], warnings: int
) -> None:
    check(*argv)
    assert len(caplog.records) == warnings


@pytest.mark.parametrize("argv", [("--gpu", "0"), ("--gpus", "1"), ("--device", "cuda")])
def test_where_there_is_none_the_job_is_refused(monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]) -> None:
    monkeypatch.setattr(gpu_preflight, "visible_gpus", lambda: 0)
    with pytest.raises(DeviceError, match=f"{' '.join(argv)} asks for a GPU, and none can be used here"):
        check(*argv)


def test_cupy_is_asked_for_in_a_job_that_imports_chainer() -> None:
    check("--gpu", "0")
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        check("--gpu", "0", with_chainer=True)


def test_cupy_is_a_package_of_the_environment(environment: Path) -> None:
    (environment / "cupy").mkdir()
    (environment / "cupy/__init__.py").touch()
    check("--gpu", "0", with_chainer=True)
