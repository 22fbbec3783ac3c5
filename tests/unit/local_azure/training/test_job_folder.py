from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_azure.training.job_folder import JobFolder


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    code = tmp_path / "training_job"
    (code / "__pycache__").mkdir(parents=True)
    (code / "__init__.py").touch()
    folder = JobFolder(tmp_path / "jobs" / "a")
    folder.recreate(code)
    return folder


def test_is_made_afresh_around_the_code(folder: JobFolder, tmp_path: Path) -> None:
    (folder.work / "outputs" / "old.npz").touch()
    folder.exit_code.write_text("0\n")
    folder.recreate(tmp_path / "training_job")
    assert [path.name for path in folder.code.rglob("*")] == ["training_job", "__init__.py"]
    assert sorted(path.name for path in folder.work.iterdir()) == ["logs", "outputs"]
    assert list((folder.work / "outputs").iterdir()) == []
    assert folder.read_exit_code() is None


def test_tidy_leaves_the_log(folder: JobFolder) -> None:
    folder.log.write_text("hello\n")
    folder.exit_code.write_text("3\n")
    folder.clean_up()
    assert folder.read_exit_code() == 3
    assert folder.log.read_text() == "hello\n"
    assert not folder.work.exists()
    assert not folder.code.exists()


def test_pages_hold_whole_lines_while_the_job_runs(folder: JobFolder) -> None:
    folder.log.write_bytes(b"one\ntwo\nthr")
    page = folder.read_log(0, 100, ended=False)
    assert (page.text, page.next_offset, page.complete) == ("one\ntwo\n", 8, False)
    rest = folder.read_log(page.next_offset, 100, ended=False)
    assert (rest.text, rest.next_offset) == ("", 8)
    end = folder.read_log(page.next_offset, 100, ended=True)
    assert (end.text, end.next_offset, end.complete) == ("thr", 11, True)


def test_a_long_line_comes_in_pieces_of_whole_characters(folder: JobFolder) -> None:
    folder.log.write_bytes("åäö".encode())
    page = folder.read_log(0, 3, ended=True)
    assert (page.text, page.next_offset, page.complete) == ("å", 2, False)


def test_no_log_is_an_empty_page(folder: JobFolder) -> None:
    folder.log.unlink()
    assert folder.read_log(0, 10, ended=False).complete is False
    assert folder.read_log(0, 10, ended=True).complete is True


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60), limit=st.integers(4, 20))
def test_pages_together_are_the_log(tmp_path_factory: pytest.TempPathFactory, text: str, limit: int) -> None:
    folder = JobFolder(tmp_path_factory.mktemp("job"))
    folder.log.parent.mkdir()
    folder.log.write_bytes(text.encode())
    read, offset, complete = "", 0, False
    while not complete:
        page = folder.read_log(offset, limit, ended=True)
        assert page.next_offset > offset or page.complete
        read, offset, complete = read + page.text, page.next_offset, page.complete
    assert read == text
    assert offset == len(text.encode())
