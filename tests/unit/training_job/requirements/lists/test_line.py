"""Lines of requirements files: what pip reads, and what conda writes under the same name."""

from pathlib import Path

import pytest

from training_job.errors import PackagesError
from training_job.requirements.lists import line


def read(folder: Path, text: str) -> line.Lines:
    path = folder / "requirements.txt"
    path.write_text(text)
    return line.read(path, folder)


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("numpy", "numpy"),
        ("  numpy == 1.11 # old  ", "numpy==1.11"),
        ("numpy[extra]>=1,<2 ; python_version > '3'", 'numpy[extra]<2,>=1; python_version > "3"'),
        ("numpy (>=1.0)", "numpy>=1.0"),
        ("numpy=1.11.1=py35_0", "numpy==1.11.1"),
        ("numpy=1.11.1", "numpy==1.11.1"),
        ("numpy==1.11 \\\n  --hash=sha256:ab \\\n  --hash sha256:cd", "numpy==1.11"),
        ("numpy @ file:///nowhere/numpy_1", "numpy"),
        (
            "git+https://example.org/a.git@v1#egg=chainer-cv",
            "chainer-cv @ git+https://example.org/a.git@v1#egg=chainer-cv",
        ),
        ("-e git+https://example.org/a.git#egg=numpy", "numpy @ git+https://example.org/a.git#egg=numpy"),
        ("https://example.org/a.tar.gz#egg=numpy-1.2", "numpy @ https://example.org/a.tar.gz#egg=numpy-1.2"),
        ("numpy @ https://example.org/a.whl", "numpy @ https://example.org/a.whl"),
        ("https://example.org/a.whl", None),
        ("what is this", None),
    ],
)
def test_a_line_is_read(tmp_path: Path, text: str, requirement: str | None) -> None:
    (found,) = read(tmp_path, f"# comment\n\n{text}\n").lines
    assert (None if found.requirement is None else str(found.requirement)) == requirement
    assert found.file == "requirements.txt"


def test_hashes_are_kept_apart(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "numpy==1 --hash=sha256:ab --hash=sha256:cd\n").lines
    assert (found.text, found.hashes) == ("numpy==1", ("sha256:ab", "sha256:cd"))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("-i https://example.org/simple", [("--index-url", "https://example.org/simple")]),
        ("--extra-index-url=https://example.org/x", [("--extra-index-url", "https://example.org/x")]),
        ("-f ./wheels", [("--find-links", "wheels")]),
        ("--find-links wheels", [("--find-links", "wheels")]),
        ("--no-index", [("--no-index", "")]),
        ("--find-links nowhere", []),
        ("--trusted-host example.org\n--pre\n--no-binary :all:\n-c constraints.txt", []),
    ],
)
def test_options_that_say_where_packages_are_found(tmp_path: Path, text: str, options: list[tuple[str, str]]) -> None:
    (tmp_path / "wheels").mkdir()
    found = read(tmp_path, text)
    local = {"wheels": str(tmp_path / "wheels")}
    assert found.options == [(option, local.get(value, value)) for option, value in options]
    assert (found.lines, bool(found.ignored)) == ([], not options)


def test_other_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps/base.txt").write_text("six\n--requirement more.txt\n./local\n")
    (tmp_path / "deps/more.txt").write_text("\ufefftqdm\n", encoding="utf-8")
    (tmp_path / "deps/local").mkdir()
    found = read(tmp_path, "-r deps/base.txt\nnumpy\n").lines
    assert [(it.text, it.file) for it in found] == [
        ("six", "deps/base.txt"),
        ("tqdm", "deps/more.txt"),
        ("./local", "deps/base.txt"),
        ("numpy", "requirements.txt"),
    ]
    assert found[2].path == tmp_path / "deps/local"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-r more.txt", "requirements.txt includes more.txt, which the drop does not have"),
        ("-rrequirements.txt", "is included by a file that it includes"),
    ],
)
def test_includes_that_lead_nowhere(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PackagesError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_a_byte_order_mark_names_the_encoding(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "requirements.txt").write_bytes(f"{mark}# für alle\nnumpy\n".encode(encoding))
    (found,) = line.read(tmp_path / "requirements.txt", tmp_path).lines
    assert found.text == "numpy"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# f\xfcr alle\nnumpy\n", r"requirements\.txt is no UTF-8 text at byte 4 \(0xfc\): save it as UTF-8"),
        (b"\xff\xfen\x00u", "requirements.txt is no UTF-16 text at byte 5"),
    ],
)
def test_a_file_that_is_no_text_names_its_byte(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "requirements.txt").write_bytes(content)
    with pytest.raises(PackagesError, match=message):
        line.read(tmp_path / "requirements.txt", tmp_path)


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "git+https://me:secret@example.org/a.git").lines
    assert found.shown == "git+https://…@example.org/a.git"
