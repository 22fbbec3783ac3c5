import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from attrs import define, field

from kedja_cli.errors import CommandError
from kedja_cli.files.grants import Grant
from kedja_cli.files.local_file import LocalFile, find
from kedja_cli.files.uploader import Outcome, Uploader, Watcher
from tests.unit.kedja_cli.fake_storage import FakeStorage, broken, md5

BLOCK = 10
URL = "http://storage.test"


@define
class FakeDoor:
    """Grants everything, as the service does."""

    storage: FakeStorage
    headers: Mapping[str, str] = {}
    blocks: bool = True
    takes_md5: bool = True
    asked: list[list[tuple[str, str | None]]] = field(factory=list)
    meanwhile: Mapping[str, bytes] = {}
    """What others write once grants are given."""

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[Grant]:
        self.asked.append([(file.name, digest) for file, digest in files])
        found = [self._grant(file, digest) for file, digest in files]
        self.storage.blobs.update(self.meanwhile)
        return found

    def _grant(self, file: LocalFile, digest: str | None) -> Grant:
        path = f"/{file.container}/e/{file.name}"
        there = self.storage.blobs.get(path)
        if there is not None and digest == md5(there):
            return Grant(url=None)
        return Grant(
            url=f"{URL}{path}?sig=secret{len(self.asked)}",
            headers=self.headers,
            blocks=self.blocks,
            there_size=None if there is None else len(there),
            there_md5=None if there is None else md5(there),
        )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("typer.get_app_dir", lambda _: str(tmp_path / "home"))
    return tmp_path / "home" / "uploads"


@pytest.fixture
def door(storage: FakeStorage) -> FakeDoor:
    return FakeDoor(storage)


def write(folder: Path, **files: bytes) -> list[LocalFile]:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return list(find([folder], "data").files)


def upload(door: FakeDoor, *stages: Sequence[LocalFile], watcher: Watcher | None = None) -> Outcome:
    return Uploader(door, watcher or Watcher(), block=BLOCK).run(*stages)


def test_small_files_go_in_one_piece_with_their_md5(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    files = write(tmp_path / "in", a=b"one", b=b"", c=b"exactly 10")
    outcome = upload(door, files)
    assert storage.blobs == {"/data/e/a": b"one", "/data/e/b": b"", "/data/e/c": b"exactly 10"}
    assert storage.md5["/data/e/a"] == md5(b"one")
    assert len(storage.requests) == 3
    assert (len(outcome.sent), outcome.bytes_sent, outcome.failed) == (3, 13, [])
    assert outcome.newest is not None
    assert outcome.newest.isoformat() == "2026-03-02T12:00:00+00:00"


def test_what_is_there_with_the_same_content_is_not_sent(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    files = write(tmp_path / "in", a=b"one", big=b"x" * 25)
    upload(door, files)
    storage.requests.clear()
    outcome = upload(door, files)
    assert storage.requests == []
    assert [file.name for file in outcome.skipped] == ["a", "big"]


def test_large_file_is_hashed_beforehand_only_where_it_may_be_there(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor
) -> None:
    files = write(tmp_path / "in", big=b"x" * 25)
    storage.blobs["/data/e/big"] = b"y" * 25
    upload(door, files)
    assert door.asked == [[("big", None)]]
    assert storage.blobs["/data/e/big"] == b"x" * 25


def test_large_file_goes_in_blocks_and_keeps_the_md5_of_the_whole(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor, home: Path
) -> None:
    content = bytes(range(35))
    outcome = upload(door, write(tmp_path / "in", big=content))
    assert storage.blobs["/data/e/big"] == content
    assert storage.md5["/data/e/big"] == md5(content)
    assert len(storage.requests) == 5
    assert outcome.bytes_sent == 35
    assert list(home.iterdir()) == []


def test_headers_of_the_grant_go_where_they_belong(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    door.headers = {
        "x-ms-blob-type": "BlockBlob",
        "If-None-Match": "*",
        "Content-MD5": "of the whole",
        "x-ms-blob-content-md5": "of the whole",
    }
    upload(door, write(tmp_path / "in", big=b"x" * 15))
    *blocks, commit = (headers for _, _, headers in storage.requests)
    assert all("If-None-Match" not in block and "x-ms-blob-type" not in block for block in blocks)
    assert commit["If-None-Match"] == "*"
    assert commit["x-ms-blob-content-md5"] == md5(b"x" * 15)
    assert "Content-MD5" not in commit
    assert "x-ms-blob-type" not in commit


def test_upload_that_broke_goes_on_with_the_blocks_that_are_missing(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor, home: Path
) -> None:
    files = write(tmp_path / "in", big=bytes(range(45)))
    storage.faults = [404]  # the first block is refused, so there is no list
    outcome = upload(door, files)
    assert [str(error) for _, error in outcome.failed] == ["big: storage refuses it: 404 None."]
    sent = len(storage.blocks.get("/data/e/big", {}))
    assert len(list(home.iterdir())) == 1
    storage.requests.clear()
    assert len(upload(door, files).sent) == 1
    assert storage.blobs["/data/e/big"] == bytes(range(45))
    assert len(storage.requests) == 5 - sent + 1


def test_changed_file_takes_no_block_of_the_one_before(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    files = write(tmp_path / "in", big=b"x" * 45)
    storage.faults = [404]
    upload(door, files)
    changed = write(tmp_path / "in", big=b"y" * 45)
    upload(door, changed)
    assert storage.blobs["/data/e/big"] == b"y" * 45


def test_blocks_that_storage_has_lost_are_sent_again(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor, home: Path
) -> None:
    files = write(tmp_path / "in", big=b"x" * 25)
    storage.faults = [404]
    upload(door, files)
    (memory,) = home.iterdir()
    head = memory.read_text().splitlines()[0]
    memory.write_text(f"{head}\n0\n1\n2\n")
    storage.blocks.clear()
    assert len(upload(door, files).sent) == 1
    assert storage.blobs["/data/e/big"] == b"x" * 25
    assert json.loads(head)["size"] == 25


def test_grant_that_takes_no_blocks_gets_a_large_file_in_one_piece(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor
) -> None:
    door.blocks = False
    outcome = upload(door, write(tmp_path / "in", big=b"x" * 25))
    assert len(storage.requests) == 1
    assert storage.md5["/data/e/big"] == md5(b"x" * 25)
    assert len(outcome.sent) == 1


def test_expired_grant_is_asked_for_again(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    storage.faults = [403]
    outcome = upload(door, write(tmp_path / "in", a=b"one"))
    assert len(outcome.sent) == 1
    assert len(door.asked) == 2


def test_file_that_arrived_though_the_answer_was_lost_counts_as_there(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor
) -> None:
    door.headers = {"If-None-Match": "*"}
    files = write(tmp_path / "in", a=b"one")
    door.meanwhile = {"/data/e/a": b"one"}  # as an earlier try of the same request has left it
    outcome = upload(door, files)
    assert [file.name for file in outcome.skipped] == ["a"]


def test_one_file_that_fails_keeps_others_going_and_later_stages_back(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor
) -> None:
    files = write(tmp_path / "in", a=b"one", b=b"two")
    marker = write(tmp_path / "marker", _SUCCESS=b"")
    storage.faults = [400]
    outcome = upload(door, files, marker)
    assert len(outcome.failed) == 1
    assert len(storage.blobs) == 1
    assert "/data/e/_SUCCESS" not in storage.blobs


def test_storage_that_does_not_answer_is_named_without_the_secret(
    tmp_path: Path, storage: FakeStorage, door: FakeDoor
) -> None:
    storage.faults = [broken()]
    outcome = upload(door, write(tmp_path / "in", a=b"one"))
    (error,) = (error for _, error in outcome.failed)
    assert str(error) == "a: storage does not answer at storage.test (ProtocolError)."
    assert "secret" not in repr(Grant(url="http://x/?sig=secret"))


def test_file_that_changes_meanwhile_is_an_error(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    files = write(tmp_path / "in", a=b"one")
    (tmp_path / "in" / "a").write_bytes(b"other")
    outcome = upload(door, files)
    assert [str(error) for _, error in outcome.failed] == [f"{files[0].path} changed while it was being sent."]


def test_watcher_hears_of_every_byte(tmp_path: Path, storage: FakeStorage, door: FakeDoor) -> None:
    class Sum(Watcher):
        moved = 0
        ended: list[bool] = []  # noqa: RUF012 - one test, one instance

        def moves(self, file: LocalFile, size: int) -> None:
            self.moved += size

        def ends(self, file: LocalFile, *, sent: bool) -> None:
            self.ended.append(sent)

    watcher = Sum()
    upload(door, write(tmp_path / "in", a=b"one", big=b"x" * 25), watcher=watcher)
    assert watcher.moved == 28
    assert watcher.ended == [True, True]


class TestFind:
    def test_folder_gives_its_content_and_a_file_its_own_name(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "train").mkdir(parents=True)
        (tmp_path / "in" / "train" / "a.png").write_bytes(b"a")
        (tmp_path / "b.png").write_bytes(b"b")
        found = find([tmp_path / "in", tmp_path / "b.png"], "data")
        assert [(file.name, file.size) for file in found.files] == [("train/a.png", 1), ("b.png", 1)]

    def test_hidden_and_temporary_files_are_counted_and_left_out(self, tmp_path: Path) -> None:
        for name in (".git/config", "a.tmp", "a.csv", "__pycache__/x.pyc"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        found = find([tmp_path], "data")
        assert ([file.name for file in found.files], found.ignored) == (["a.csv"], 3)

    def test_two_files_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a").write_text("")
        with pytest.raises(CommandError, match=r"would both be data/…/a"):
            find([tmp_path / "one", tmp_path / "two"], "data")

    def test_what_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="There is no file or folder"):
            find([tmp_path / "nothing"], "data")
