import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training_job.drops import Drop
from training_job.errors import ChangedSinceSnapshotError, SnapshotError
from training_job.launcher import snapshot


def edit(drop: Drop, **keys: object) -> None:
    path = drop.snapshot / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_what_was_dropped(drop: Drop) -> None:
    drop.scripts = {"train.py": "pass"}
    drop.data = {"a/b.npz": b"x"}
    drop.write()
    found = snapshot.read(drop.snapshot)
    assert [file.name for file in found.scripts + found.data] == ["train.py", "a/b.npz"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ""])
def test_a_name_outside_of_its_folder_is_refused(drop: Drop, name: str) -> None:
    drop.write()
    edit(drop, scripts=[{"name": name, "size": 0, "md5": None}])
    with pytest.raises(SnapshotError, match="no relative name"):
        snapshot.read(drop.snapshot)


@pytest.mark.parametrize("keys", [{"version": 2}, {"data": [{}]}, {"data": None}])
def test_a_manifest_of_another_kind_is_refused(drop: Drop, keys: dict[str, Any]) -> None:
    drop.write()
    edit(drop, **keys)
    with pytest.raises(SnapshotError, match=r"manifest\.json"):
        snapshot.read(drop.snapshot)


def test_a_script_that_is_another_one(drop: Drop, tmp_path: Path) -> None:
    drop.scripts = {"train.py": "pass"}
    drop.write()
    (drop.snapshot / "scripts/train.py").write_text("PASS")
    with pytest.raises(ChangedSinceSnapshotError, match=r"script train\.py has other content"):
        snapshot.copy_scripts(snapshot.read(drop.snapshot), tmp_path)


def test_without_md5_the_size_counts(drop: Drop) -> None:
    drop.data = {"x": b"data"}
    drop.write()
    edit(drop, data=[{"name": "x", "size": 4, "md5": None, "etag": "1"}])
    found = snapshot.read(drop.snapshot)
    (drop.data_folder / "x").write_bytes(b"dada")
    snapshot.verify_data(found, drop.data_folder)
    (drop.data_folder / "x").write_bytes(b"longer")
    with pytest.raises(ChangedSinceSnapshotError, match="x has 6 bytes"):
        snapshot.verify_data(found, drop.data_folder)


def test_a_file_is_read_again_only_if_it_changed(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.data = {"x": b"data", "y": b"more"}
    drop.write()
    found = snapshot.read(drop.snapshot)
    seen = snapshot.verify_data(found, drop.data_folder)
    read: list[str] = []
    digest = snapshot._md5

    def md5(path: Path) -> str:
        read.append(path.name)
        return digest(path)

    monkeypatch.setattr(snapshot, "_md5", md5)
    os.utime(drop.data_folder / "y", (1, 1))
    snapshot.verify_data(found, drop.data_folder, seen)
    assert read == ["y"]
