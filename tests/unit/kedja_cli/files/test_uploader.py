import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from attrs import define, field

from kedja_cli.files.grants import UploadGrant
from kedja_cli.files.local_file import LocalFile, find
from kedja_cli.files.uploader import Uploader, UploadListener, UploadOutcome
from tests.unit.kedja_cli.fake_storage import FakeStorage, broken, md5

BLOCK = 10
URL = "http://storage.test"


@define
class FakeAuthorizer:
    """Grants everything, as the service does."""

    storage: FakeStorage
    headers: Mapping[str, str] = {}
    blocks: bool = True
    uses_md5: bool = True
    asked: list[list[tuple[str, str | None]]] = field(factory=list)
    meanwhile: Mapping[str, bytes] = {}
    """What others write once grants are given."""

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[UploadGrant]:
        self.asked.append([(file.name, digest) for file, digest in files])
        found = [self._grant(file, digest) for file, digest in files]
        self.storage.blobs.update(self.meanwhile)
        return found

    def _grant(self, file: LocalFile, digest: str | None) -> UploadGrant:
        path = f"/{file.container}/e/{file.name}"
        there = self.storage.blobs.get(path)
        if there is not None and digest == md5(there):
            return UploadGrant(url=None)
        return UploadGrant(
            url=f"{URL}{path}?sig=secret{len(self.asked)}",
            headers=self.headers,
            blocks=self.blocks,
            existing_size=None if there is None else len(there),
            existing_md5=None if there is None else md5(there),
        )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("typer.get_app_dir", lambda _: str(tmp_path / "home"))
    return tmp_path / "home" / "uploads"


@pytest.fixture
def authorizer(storage: FakeStorage) -> FakeAuthorizer:
    return FakeAuthorizer(storage)


def write(folder: Path, **files: bytes) -> list[LocalFile]:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return list(find([folder], "data").files)


def upload(
    authorizer: FakeAuthorizer, *stages: Sequence[LocalFile], listener: UploadListener | None = None
) -> UploadOutcome:
    return Uploader(authorizer, listener or UploadListener(), block=BLOCK).run(*stages)


def test_small_files_go_in_one_piece_with_their_md5(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", a=b"one", b=b"", c=b"exactly 10")
    outcome = upload(authorizer, files)
    assert storage.blobs == {"/data/e/a": b"one", "/data/e/b": b"", "/data/e/c": b"exactly 10"}
    assert storage.md5["/data/e/a"] == md5(b"one")
    assert len(storage.requests) == 3
    assert (len(outcome.sent), outcome.bytes_sent, outcome.failed) == (3, 13, [])
    assert outcome.newest is not None
    assert outcome.newest.isoformat() == "2026-03-02T12:00:00+00:00"


def test_what_is_there_with_the_same_content_is_not_sent(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", a=b"one", big=b"x" * 25)
    upload(authorizer, files)
    storage.requests.clear()
    outcome = upload(authorizer, files)
    assert storage.requests == []
    assert [file.name for file in outcome.skipped] == ["a", "big"]


def test_large_file_is_hashed_first_only_if_storage_may_have_it(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", big=b"x" * 25)
    storage.blobs["/data/e/big"] = b"y" * 25
    upload(authorizer, files)
    assert authorizer.asked == [[("big", None)]]
    assert storage.blobs["/data/e/big"] == b"x" * 25


def test_large_file_goes_in_blocks_and_keeps_the_md5_of_the_whole(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer, home: Path
) -> None:
    content = bytes(range(35))
    outcome = upload(authorizer, write(tmp_path / "in", big=content))
    assert storage.blobs["/data/e/big"] == content
    assert storage.md5["/data/e/big"] == md5(content)
    assert len(storage.requests) == 5
    assert outcome.bytes_sent == 35
    assert list(home.iterdir()) == []


def test_headers_of_the_grant_are_sent_with_the_right_requests(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    authorizer.headers = {
        "x-ms-blob-type": "BlockBlob",
        "If-None-Match": "*",
        "Content-MD5": "of the whole",
        "x-ms-blob-content-md5": "of the whole",
    }
    upload(authorizer, write(tmp_path / "in", big=b"x" * 15))
    *blocks, commit = (headers for _, _, headers in storage.requests)
    assert all("If-None-Match" not in block and "x-ms-blob-type" not in block for block in blocks)
    assert commit["If-None-Match"] == "*"
    assert commit["x-ms-blob-content-md5"] == md5(b"x" * 15)
    assert "Content-MD5" not in commit
    assert "x-ms-blob-type" not in commit


def test_interrupted_upload_continues_with_the_missing_blocks(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer, home: Path
) -> None:
    files = write(tmp_path / "in", big=bytes(range(45)))
    storage.faults = [404]  # the first block is refused, so there is no list
    outcome = upload(authorizer, files)
    assert [str(error) for _, error in outcome.failed] == ["big: storage refused the request: 404 None."]
    sent = len(storage.blocks.get("/data/e/big", {}))
    assert len(list(home.iterdir())) == 1
    storage.requests.clear()
    assert len(upload(authorizer, files).sent) == 1
    assert storage.blobs["/data/e/big"] == bytes(range(45))
    assert len(storage.requests) == 5 - sent + 1


def test_changed_file_uses_no_blocks_of_its_old_content(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", big=b"x" * 45)
    storage.faults = [404]
    upload(authorizer, files)
    changed = write(tmp_path / "in", big=b"y" * 45)
    upload(authorizer, changed)
    assert storage.blobs["/data/e/big"] == b"y" * 45


def test_blocks_that_storage_has_lost_are_sent_again(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer, home: Path
) -> None:
    files = write(tmp_path / "in", big=b"x" * 25)
    storage.faults = [404]
    upload(authorizer, files)
    (memory,) = home.iterdir()
    head = memory.read_text().splitlines()[0]
    memory.write_text(f"{head}\n0\n1\n2\n")
    storage.blocks.clear()
    assert len(upload(authorizer, files).sent) == 1
    assert storage.blobs["/data/e/big"] == b"x" * 25
    assert json.loads(head)["size"] == 25


def test_large_file_is_sent_in_one_request_if_the_grant_allows_no_blocks(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    authorizer.blocks = False
    outcome = upload(authorizer, write(tmp_path / "in", big=b"x" * 25))
    assert len(storage.requests) == 1
    assert storage.md5["/data/e/big"] == md5(b"x" * 25)
    assert len(outcome.sent) == 1


def test_expired_grant_is_asked_for_again(tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer) -> None:
    storage.faults = [403]
    outcome = upload(authorizer, write(tmp_path / "in", a=b"one"))
    assert len(outcome.sent) == 1
    assert len(authorizer.asked) == 2


def test_file_whose_response_was_lost_counts_as_existing(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    authorizer.headers = {"If-None-Match": "*"}
    files = write(tmp_path / "in", a=b"one")
    authorizer.meanwhile = {"/data/e/a": b"one"}  # as an earlier try of the same request has left it
    outcome = upload(authorizer, files)
    assert [file.name for file in outcome.skipped] == ["a"]


def test_failed_file_stops_later_stages_and_no_other_file(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", a=b"one", b=b"two")
    marker = write(tmp_path / "marker", _SUCCESS=b"")
    storage.faults = [400]
    outcome = upload(authorizer, files, marker)
    assert len(outcome.failed) == 1
    assert len(storage.blobs) == 1
    assert "/data/e/_SUCCESS" not in storage.blobs


def test_storage_that_does_not_answer_is_named_without_the_secret(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    storage.faults = [broken()]
    outcome = upload(authorizer, write(tmp_path / "in", a=b"one"))
    (error,) = (error for _, error in outcome.failed)
    assert str(error) == "a: storage does not answer at storage.test (ProtocolError)."
    assert "secret" not in repr(UploadGrant(url="http://x/?sig=secret"))


def test_file_that_changes_meanwhile_is_an_error(
    tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer
) -> None:
    files = write(tmp_path / "in", a=b"one")
    (tmp_path / "in" / "a").write_bytes(b"other")
    outcome = upload(authorizer, files)
    assert [str(error) for _, error in outcome.failed] == [f"{files[0].path} changed while it was being sent."]


def test_listener_receives_every_byte(tmp_path: Path, storage: FakeStorage, authorizer: FakeAuthorizer) -> None:
    class Sum(UploadListener):
        moved = 0
        ended: list[bool] = []  # noqa: RUF012 - one test, one instance

        def on_progress(self, file: LocalFile, size: int) -> None:
            self.moved += size

        def on_end(self, file: LocalFile, *, sent: bool) -> None:
            self.ended.append(sent)

    listener = Sum()
    upload(authorizer, write(tmp_path / "in", a=b"one", big=b"x" * 25), listener=listener)
    assert listener.moved == 28
    assert listener.ended == [True, True]
