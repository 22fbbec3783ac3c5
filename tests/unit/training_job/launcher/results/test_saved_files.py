import shutil
from pathlib import Path

import pytest

from tests.unit.training_job.launcher.results.ended_scripts import EndedScript, archive
from training_job.launcher.results import saved_files
from training_job.launcher.results.saved_files import SavedFile, files_in, find, series


@pytest.fixture
def script(tmp_path: Path) -> EndedScript:
    return EndedScript.begin(tmp_path)


def found(script: EndedScript) -> list[str]:
    return [path.relative_to(script.job.folder).as_posix() for path in find(script.saved, [script.job.folder])]


def test_files_are_found_where_they_were_saved_in_this_order(script: EndedScript) -> None:
    for name in ("b.npz", "sub/a.model"):
        script.save(name)
    assert found(script) == ["b.npz", "sub/a.model"]


def test_a_file_that_was_saved_over_counts_once_and_last(script: EndedScript) -> None:
    for name in ("a.npz", "b.npz", "a.npz"):
        script.save(name)
    assert found(script) == ["b.npz", "a.npz"]


def test_a_renamed_file_is_found(script: EndedScript) -> None:
    script.save("tmp").rename(script.job.folder / "result.npz")
    assert found(script) == ["result.npz"]


def test_each_renamed_file_of_one_name_is_found(script: EndedScript) -> None:
    for number in range(3):
        script.save("model.npz").rename(script.job.folder / f"model{number}.npz")
    assert found(script) == ["model0.npz", "model1.npz", "model2.npz"]


def test_a_file_that_was_moved_to_another_disk_is_found(script: EndedScript, tmp_path: Path) -> None:
    path = script.save("tmp.npz")
    copy = tmp_path / "job/sub/moved.npz"
    copy.parent.mkdir()
    shutil.copy2(path, copy)  # as shutil.move does between disks
    path.unlink()
    assert found(script) == ["sub/moved.npz"]


def test_a_file_that_has_got_a_deleted_files_inode_is_not_it(script: EndedScript) -> None:
    path = script.save("tmp.npz")
    inode = path.stat().st_ino
    path.unlink()
    log = script.write("log", b"something else")
    if log.stat().st_ino != inode:  # file systems differ in whether they use it again at once
        (record,) = script.saved
        status = log.stat()
        script.saved = [SavedFile(**{**vars(record), "inode": (status.st_dev, status.st_ino)})]
    assert found(script) == []


def test_deleted_empty_and_incomplete_files_are_not_found(script: EndedScript) -> None:
    script.save("deleted.npz").unlink()
    script.save("empty.npz", content=b"")
    script.save("half.npz", content=archive({"w.npy": b"w" * 1000})[:500])
    script.save("text.model", content=b"weights")
    assert found(script) == ["text.model"]


def test_a_record_without_a_state_is_found_by_its_name(script: EndedScript) -> None:
    script.save("snap")
    script.saved = [SavedFile(**{**vars(script.saved[0]), "inode": None, "size": None, "modified": None})]
    assert found(script) == ["snap"]
    (script.job.folder / "snap").unlink()
    assert found(script) == []


def test_the_working_directory_may_go_by_another_name(script: EndedScript, tmp_path: Path) -> None:
    script.save("a.npz")
    (tmp_path / "other").symlink_to(script.job.folder)
    document = {
        "path": str(tmp_path / "other/a.npz"),
        "kind": "npz",
        "link": "Net",
        "has_predictor": False,
        "process": 1,
        "step": 0,
        "object": 1,
        "holds": [],
        "held_by": [],
    }
    assert list(find([SavedFile.of(document)], [])) == [script.job.folder / "a.npz"]
    with pytest.raises(ValueError, match="is not absolute"):
        SavedFile.of({**document, "path": "a.npz"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("model_iter_100", "model_iter_20"),
        ("snapshot_epoch-3", "snapshot_epoch-11"),
        ("e3_loss0.25.npz", "e4_loss1.5.npz"),
    ],
)
def test_numbered_files_are_a_series(one: str, other: str) -> None:
    assert series(Path("result", one)) == series(Path("result", other)) is not None
    assert series(Path("result", one)) != series(Path("elsewhere", other))
    assert series(Path("result/model.npz")) is None


def test_files_of_packages_caches_and_links_are_left_out(script: EndedScript, tmp_path: Path) -> None:
    for name in ("a", ".kedja/b", "venv/site-packages/c", "__pycache__/d", "sub/e"):
        script.write(name)
    (tmp_path / "job/link").symlink_to(tmp_path / "job/a")
    folder = script.job.folder
    assert [path.relative_to(folder).as_posix() for path in files_in(folder)] == ["a", "train.py", "sub/e"]
    assert [path.name for path in files_in(folder, [folder / "sub"])] == ["a", "train.py"]


def test_a_folder_of_very_many_files_is_read_up_to_a_limit(
    script: EndedScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_files, "MOST_ENTRIES", 3)
    for number in range(5):
        script.write(f"{number}")
    assert len(list(files_in(script.job.folder))) == 3
