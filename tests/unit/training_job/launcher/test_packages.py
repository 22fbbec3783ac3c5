import importlib.metadata
import zipfile
from pathlib import Path

import pytest

from training_job.errors import PackagesError
from training_job.launcher import packages


def wheel(folder: Path, name: str = "kedja_helper") -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "VALUE = 1\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / ".kedja").mkdir()
    return tmp_path / "requirements.txt"


def test_what_is_missing_is_installed_beside_the_environment(requirements: Path, tmp_path: Path) -> None:
    wheel(tmp_path)
    requirements.write_text("# helpers\nnumpy>=1.26  # any\n./kedja_helper-1.0-py3-none-any.whl\n")
    assert packages.install(requirements, tmp_path / ".kedja/packages")
    assert (tmp_path / ".kedja/packages/kedja_helper.py").exists()
    assert not (tmp_path / ".kedja/packages/numpy").exists()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("kedja_helper")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "numpy\nChainer==7.8.1\n", "nothing==1; python_version < '3'\n", "\ufeffnumpy\n"]
)
def test_nothing_is_installed_that_is_there(requirements: Path, tmp_path: Path, text: str) -> None:
    requirements.write_text(text)
    assert not packages.install(requirements, tmp_path / ".kedja/packages")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_a_byte_order_mark_names_the_encoding(requirements: Path, tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    requirements.write_bytes(f"{mark}# für alle\nnumpy\n".encode(encoding))
    assert not packages.install(requirements, tmp_path / ".kedja/packages")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# f\xfcr alle\nnumpy\n", r"requirements\.txt is no UTF-8 text at byte 4 \(0xfc\): save it as UTF-8"),
        (b"\xff\xfen\x00u", "requirements.txt is no UTF-16 text at byte 5"),
    ],
)
def test_a_file_that_is_no_text_names_its_byte(
    requirements: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    requirements.write_bytes(content)
    with pytest.raises(PackagesError, match=message):
        packages.install(requirements, tmp_path / ".kedja/packages")


def test_a_failure_names_the_line(requirements: Path, tmp_path: Path) -> None:
    requirements.write_text("numpy\nno-such-package-of-kedja==3\n")
    with pytest.raises(PackagesError, match=r"installed: no-such-package-of-kedja==3: ERROR: .*no-such-package"):
        packages.install(requirements, tmp_path / ".kedja/packages")


def test_an_environment_without_an_installer(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    requirements.write_text("no-such-package-of-kedja\n")
    with pytest.raises(PackagesError, match="neither pip nor uv"):
        packages.install(requirements, tmp_path / ".kedja/packages")


def test_packages_that_the_drop_does_not_ask_for_keep_their_version() -> None:
    held = packages._installed_versions(["numpy<2", "-r more.txt"])
    assert not any(line.startswith("numpy==") for line in held)
    assert "chainer==7.8.1" in held
