from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.ports.storage import CopyStatus
from tests.unit.memory import MemoryBlobs, VirtualClock


@pytest.fixture
def dropped(blobs: MemoryBlobs) -> MemoryBlobs:
    blobs.upload(naming.SCRIPTS, "digits/train.py", b"script")
    blobs.upload(naming.SCRIPTS, "digits/job.yaml", b"{}")
    blobs.upload(naming.DATA, "digits/train/a.png", b"a")
    return blobs


def test_is_what_lies_in_the_folder_of_both_containers(dropped: MemoryBlobs) -> None:
    for name in ("digits2/a", "digit/a", "other/digits/a", "digits"):
        dropped.upload(naming.DATA, name, b"other")
    drop = Drop.list_drop(dropped, "digits")
    assert [file.name for file in drop.scripts] == ["train.py"]
    assert [file.name for file in drop.data] == ["train/a.png"]
    assert drop.job_yaml is not None
    assert (drop.experiment, drop.folder, drop.is_empty) == ("digits", "digits", False)


@pytest.mark.parametrize("folder", ["a#b", "50%25", "å ä", "a?b&c+d", "[a]*", ""])
def test_names_relative_to_the_folder_whatever_it_is_called(blobs: MemoryBlobs, folder: str) -> None:
    blobs.upload(naming.DATA, f"{folder}/{folder}/a.npz", b"a")
    assert [file.name for file in Drop.list_drop(blobs, folder).data] == [f"{folder}/a.npz"]


def test_leaves_out_markers_of_folders_and_temporary_files(blobs: MemoryBlobs) -> None:
    blobs.upload(naming.DATA, "digits/train", b"", metadata={"hdi_isfolder": "true"})
    blobs.upload(naming.DATA, "digits/", b"")
    blobs.upload(naming.DATA, "digits/a.tmp", b"")
    assert Drop.list_drop(blobs, "digits").is_empty


def test_is_quiet_by_the_storages_clock(dropped: MemoryBlobs, clock: VirtualClock) -> None:
    dropped.skew = timedelta(hours=5)
    dropped.upload(naming.DATA, "digits/b.png", b"b")
    assert Drop.list_drop(dropped, "digits").seconds_until_quiet(10) == 10
    clock.advance(4)
    assert Drop.list_drop(dropped, "digits").seconds_until_quiet(10) == 6
    clock.advance(6)
    assert Drop.list_drop(dropped, "digits").seconds_until_quiet(10) == 0


def test_waits_for_an_upload_in_progress_for_a_day(dropped: MemoryBlobs, clock: VirtualClock) -> None:
    dropped.upload(naming.DATA, "digits/big.npz", b"b", committed=False)
    clock.advance(3600)
    drop = Drop.list_drop(dropped, "digits")
    assert drop.uploading == ["data/big.npz"]
    assert drop.seconds_until_quiet(10) == 10
    assert drop.seconds_until_quiet(0) == 1
    assert [file.name for file in drop.data] == ["train/a.png"]
    clock.advance(24 * 3600)
    assert Drop.list_drop(dropped, "digits").seconds_until_quiet(10) == 0


def test_waits_for_a_file_that_is_being_copied_there(dropped: MemoryBlobs, clock: VirtualClock) -> None:
    source = dropped.upload(naming.MODELS, "a", b"a")
    dropped.hold_copies = True
    dropped.copy((naming.MODELS, "a"), (naming.DATA, "digits/copy.npz"), etag=source.etag)
    clock.advance(60)
    assert Drop.list_drop(dropped, "digits").uploading == ["data/copy.npz"]
    dropped.end_copies(CopyStatus.SUCCESS)
    assert Drop.list_drop(dropped, "digits").uploading == []


def test_its_id_says_everything_about_its_content(dropped: MemoryBlobs, clock: VirtualClock) -> None:
    before = Drop.list_drop(dropped, "digits").ref("{}")
    clock.advance(60)
    dropped.upload(naming.DATA, "digits/train/a.png", b"a")
    assert Drop.list_drop(dropped, "digits").ref("{}") == before
    dropped.upload(naming.DATA, "digits/train/a.png", b"b")
    assert Drop.list_drop(dropped, "digits").ref("{}") != before


def test_a_file_without_a_hash_counts_by_its_etag(dropped: MemoryBlobs) -> None:
    dropped.upload(naming.DATA, "digits/train/a.png", b"a", hashed=False)
    before = Drop.list_drop(dropped, "digits").ref("{}")
    assert Drop.list_drop(dropped, "digits").ref("{}") == before
    dropped.upload(naming.DATA, "digits/train/a.png", b"a", hashed=False)
    assert Drop.list_drop(dropped, "digits").ref("{}") != before


class TestIsAnnouncedBy:
    def test_a_file_that_is_not_older_than_any_other(self, dropped: MemoryBlobs, clock: VirtualClock) -> None:
        assert not Drop.list_drop(dropped, "digits").is_completed_by("_SUCCESS")
        dropped.upload(naming.DATA, "digits/_SUCCESS", b"")
        assert Drop.list_drop(dropped, "digits").is_completed_by("_SUCCESS")
        clock.advance(1)
        dropped.upload(naming.SCRIPTS, "digits/train.py", b"newer")
        assert not Drop.list_drop(dropped, "digits").is_completed_by("_SUCCESS")
        dropped.upload(naming.SCRIPTS, "digits/_SUCCESS", b"")
        assert Drop.list_drop(dropped, "digits").is_completed_by("_SUCCESS")

    def test_which_is_no_part_of_the_drop(self, dropped: MemoryBlobs) -> None:
        before = Drop.list_drop(dropped, "digits").ref("{}")
        dropped.upload(naming.DATA, "digits/_SUCCESS", b"")
        assert Drop.list_drop(dropped, "digits").without("_SUCCESS").ref("{}") == before


def test_a_manifest_names_every_file(dropped: MemoryBlobs) -> None:
    manifest = Drop.list_drop(dropped, "digits").manifest(DropRef("digits", "d" * 64), "train.py", ignored=["_SUCCESS"])
    assert [file.name for file in manifest.scripts] == ["train.py"]
    assert [(file.name, file.size) for file in manifest.data] == [("train/a.png", 1)]
    assert manifest.ignored == (*naming.IGNORED, "_SUCCESS")
    assert type(manifest).from_bytes(manifest.to_bytes()) == manifest
