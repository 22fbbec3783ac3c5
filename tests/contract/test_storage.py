"""What `function_app.ports.storage` promises, of the real client over Azurite and of the storage of the unit tests."""

import base64
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from function_app.azure.storage_lease import HeldLease
from function_app.errors import BlobNotFound, PreconditionFailed, StorageError
from function_app.ports.storage import Blobs, CopyStatus, Permission, iter_items, iter_pages
from tests.contract.storage_accounts import AWKWARD, Account, over_azurite_slow
from tests.unit.memory import MemoryLease


class TestList:
    def test_returns_all_blobs_of_a_prefix_in_the_order_of_their_names(self, account: Account) -> None:
        for name in ("a/2", "a/1", "a", "ab/1", "b/1"):
            account.upload(name, b"x")
        listing = account.blobs.list(account.container, "a/")
        assert [item.name for item in listing.items] == ["a/1", "a/2"]

    def test_tells_size_hash_and_when_it_was_written(self, account: Account) -> None:
        account.upload("file", b"12345")
        (item,) = account.blobs.list(account.container, "file").items
        assert (item.size, item.md5) == (5, base64.b64encode(hashlib.md5(b"12345").digest()).decode())  # noqa: S324
        assert '"' not in item.etag
        assert abs(datetime.now(UTC) - item.modified) < timedelta(seconds=60)
        assert (item.committed, item.copy) == (True, CopyStatus.NONE)

    def test_tells_metadata(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"", metadata={"status": "running", "job": "digits-1"})
        (item,) = blobs.list(box, "").items
        assert item.metadata == {"status": "running", "job": "digits-1"}

    def test_a_blob_of_blocks_has_no_hash(self, account: Account) -> None:
        account.upload("file", b"12345", hashed=False)
        (item,) = account.blobs.list(account.container, "").items
        assert (item.size, item.md5, item.committed) == (5, None, True)

    def test_tells_of_uploads_in_progress_where_asked(self, account: Account) -> None:
        account.upload("done", b"")
        account.upload("on its way", b"12345", hashed=False, committed=False)
        assert [item.name for item in account.blobs.list(account.container, "").items] == ["done"]
        listing = account.blobs.list(account.container, "", uncommitted=True)
        assert {item.name: item.committed for item in listing.items} == {"done": True, "on its way": False}

    def test_tells_the_storages_clock(self, account: Account) -> None:
        account.upload("file", b"")
        listing = account.blobs.list(account.container, "")
        assert timedelta() <= listing.now - listing.items[0].modified < timedelta(seconds=60)

    def test_of_a_container_that_is_not_there_fails(self, blobs: Blobs) -> None:
        with pytest.raises(StorageError, match="no-such"):
            blobs.list("no-such", "")


class TestPages:
    def test_read_on_until_the_end(self, account: Account) -> None:
        for number in range(7):
            account.upload(f"a/{number}", b"")
        account.upload("b", b"")
        found = list(iter_pages(account.blobs, account.container, "a/", size=3))
        assert [[item.name for item in page.items] for page in found] == [
            ["a/0", "a/1", "a/2"],
            ["a/3", "a/4", "a/5"],
            ["a/6"],
        ]
        items = list(iter_items(account.blobs, account.container, "a/", size=3))
        assert [item.name for item in items] == [f"a/{number}" for number in range(7)]

    def test_of_nothing_are_empty(self, blobs: Blobs, box: str) -> None:
        page = blobs.page(box, "nothing/", size=3)
        assert (list(page.items), page.token) == ([], None)

    def test_tell_metadata_and_leave_out_uploads_in_progress(self, account: Account) -> None:
        account.blobs.create(account.container, "file", b"", metadata={"status": "running"})
        account.upload("on its way", b"12345", hashed=False, committed=False)
        page = account.blobs.page(account.container, "", size=10)
        assert [(item.name, item.metadata) for item in page.items] == [("file", {"status": "running"})]

    def test_tell_of_uploads_in_progress_where_asked_and_the_storages_clock(self, account: Account) -> None:
        account.upload("done", b"")
        account.upload("on its way", b"12345", hashed=False, committed=False)
        first, second = iter_pages(account.blobs, account.container, "", size=1, uncommitted=True)
        assert [(item.name, item.committed) for item in (*first.items, *second.items)] == [
            ("done", True),
            ("on its way", False),
        ]
        assert timedelta() <= first.now - first.items[0].modified < timedelta(seconds=60)


class TestFolders:
    def test_are_the_top_level_ones_without_their_slashes(self, account: Account) -> None:
        for name in ("a/1", "a/b/2", AWKWARD, "ab/1", "root.txt"):
            account.upload(name, b"")
        folders = account.blobs.folders(account.container, size=10)
        assert (list(folders.names), folders.token) == (["a", "ab", AWKWARD.partition("/")[0]], None)

    def test_read_on_until_the_end(self, account: Account) -> None:
        for number in range(5):
            account.upload(f"{number}/x", b"")
        first = account.blobs.folders(account.container, size=2)
        second = account.blobs.folders(account.container, size=2, token=first.token)
        third = account.blobs.folders(account.container, size=2, token=second.token)
        assert [*first.names, *second.names, *third.names] == ["0", "1", "2", "3", "4"]
        assert third.token is None


class TestRead:
    def test_returns_the_blob_whole(self, account: Account) -> None:
        account.upload(AWKWARD, b"12345")
        blob = account.blobs.read(account.container, AWKWARD)
        item = account.blobs.get(account.container, AWKWARD)
        assert item is not None
        assert (blob.data, blob.etag, blob.modified) == (b"12345", item.etag, item.modified)
        assert timedelta() <= blob.now - blob.modified < timedelta(seconds=60)

    @pytest.mark.parametrize(("limit", "expected"), [(3, b"123"), (5, b"12345"), (9, b"12345")])
    def test_or_its_first_bytes(self, account: Account, limit: int, expected: bytes) -> None:
        account.upload("file", b"12345")
        assert account.blobs.read(account.container, "file", limit=limit).data == expected

    def test_an_empty_one_is_empty(self, account: Account) -> None:
        account.upload("file", b"")
        assert account.blobs.read(account.container, "file").data == b""
        assert account.blobs.read(account.container, "file", limit=3).data == b""

    def test_fails_where_there_is_none(self, account: Account) -> None:
        account.upload("on its way", b"12345", hashed=False, committed=False)
        for name in ("nothing", "on its way"):
            with pytest.raises(BlobNotFound, match=name):
                account.blobs.read(account.container, name)


class TestReadFrom:
    @pytest.mark.parametrize(
        ("offset", "limit", "expected"), [(0, 3, b"123"), (3, 10, b"45"), (5, 10, b""), (9, 1, b"")]
    )
    def test_returns_what_there_is(self, account: Account, offset: int, limit: int, expected: bytes) -> None:
        account.upload("file", b"12345")
        assert account.blobs.read_from(account.container, "file", offset, limit) == expected

    def test_returns_nothing_where_there_is_none(self, blobs: Blobs, box: str) -> None:
        assert blobs.read_from(box, "file", 0, 10) == b""


class TestAppend:
    def test_makes_a_blob_and_adds_to_its_end(self, blobs: Blobs, box: str) -> None:
        for line in (b"one\n", b"two\n"):
            blobs.append(box, "lines", line)
        assert blobs.read(box, "lines").data == b"one\ntwo\n"
        assert blobs.read_from(box, "lines", 4, 100) == b"two\n"
        (item,) = blobs.list(box, "lines").items
        assert item.size == 8

    def test_keeps_every_piece_whole_where_many_write(self, blobs: Blobs, box: str) -> None:
        lines = [f"line {number}\n".encode() for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda line: blobs.append(box, "lines", line), lines))
        assert sorted(blobs.read(box, "lines").data.splitlines(keepends=True)) == sorted(lines)

    def test_fails_where_there_is_no_container(self, blobs: Blobs) -> None:
        with pytest.raises(StorageError):
            blobs.append("no-such", "lines", b"x")


class TestSign:
    def test_names_one_blob_one_right_and_an_end(self, blobs: Blobs, box: str) -> None:
        expires = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
        url = urlsplit(blobs.sign(box, AWKWARD, permission=Permission.CREATE, expires=expires))
        query = parse_qs(url.query)
        assert unquote(url.path).endswith(f"/{box}/{AWKWARD}")
        assert (query["sp"], query["se"], query["sr"]) == (["c"], ["2099-01-02T03:04:05Z"], ["b"])


class TestGet:
    def test_returns_what_a_listing_tells(self, account: Account) -> None:
        account.blobs.create(account.container, "file", b"12345", metadata={"status": "running"})
        (listed,) = account.blobs.list(account.container, "").items
        assert account.blobs.get(account.container, "file") == listed

    def test_returns_none_where_there_is_none(self, account: Account) -> None:
        account.upload("on its way", b"12345", hashed=False, committed=False)
        assert account.blobs.get(account.container, "nothing") is None
        assert account.blobs.get(account.container, "on its way") is None


class TestCreate:
    def test_writes_a_new_blob_and_tells_the_storages_clock(self, blobs: Blobs, box: str) -> None:
        now = blobs.create(box, AWKWARD, b"12345")
        item = blobs.get(box, AWKWARD)
        assert item is not None
        assert abs(now - item.modified) <= timedelta(seconds=1)
        assert blobs.read(box, AWKWARD).data == b"12345"

    def test_fails_where_it_exists_already(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"first")
        with pytest.raises(PreconditionFailed, match="file"):
            blobs.create(box, "file", b"second")
        assert blobs.read(box, "file").data == b"first"


class TestReplace:
    def test_writes_over_any(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first", metadata={"a": "1"})
        second = blobs.replace(box, "file", b"second", metadata={"b": "2"})
        item = blobs.get(box, "file")
        assert item is not None
        assert (item.etag, item.metadata) == (second, {"b": "2"})
        assert first != second
        assert blobs.read(box, "file").data == b"second"

    def test_writes_over_the_one_with_the_etag(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first")
        second = blobs.replace(box, "file", b"second", etag=first)
        assert blobs.read(box, "file").etag == second

    def test_fails_where_it_changed(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first")
        blobs.replace(box, "file", b"second")
        with pytest.raises(PreconditionFailed):
            blobs.replace(box, "file", b"third", etag=first)
        assert blobs.read(box, "file").data == b"second"

    def test_fails_where_it_is_gone(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first")
        blobs.delete(box, "file")
        with pytest.raises(PreconditionFailed):
            blobs.replace(box, "file", b"second", etag=first)


class TestDelete:
    def test_tells_whether_there_was_one(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"")
        assert blobs.delete(box, "file") is True
        assert blobs.delete(box, "file") is False
        assert blobs.get(box, "file") is None

    def test_deletes_the_one_with_the_etag(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first")
        assert blobs.delete(box, "file", etag=first) is True
        assert blobs.get(box, "file") is None

    def test_fails_where_it_changed(self, blobs: Blobs, box: str) -> None:
        first = blobs.replace(box, "file", b"first")
        blobs.replace(box, "file", b"second")
        with pytest.raises(PreconditionFailed):
            blobs.delete(box, "file", etag=first)
        assert blobs.read(box, "file").data == b"second"


def until_copied(blobs: Blobs, container: str, name: str) -> None:
    until = time.monotonic() + 30
    while (item := blobs.get(container, name)) is None or item.copy is CopyStatus.PENDING:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert item.copy is CopyStatus.SUCCESS


class TestCopy:
    def test_copies_within_the_account(self, account: Account) -> None:
        account.upload(AWKWARD, b"12345")
        source = account.blobs.get(account.container, AWKWARD)
        assert source is not None
        status = account.blobs.copy(
            (account.container, AWKWARD), ("data", f"copy of {AWKWARD}"), etag=source.etag, metadata={"source": "1"}
        )
        assert status in (CopyStatus.PENDING, CopyStatus.SUCCESS)
        until_copied(account.blobs, "data", f"copy of {AWKWARD}")
        (copy,) = account.blobs.list("data", f"copy of {AWKWARD}").items
        assert (copy.size, copy.md5, copy.metadata, copy.copy) == (5, source.md5, {"source": "1"}, CopyStatus.SUCCESS)
        assert account.blobs.read("data", copy.name).data == b"12345"
        assert account.blobs.delete("data", copy.name)

    def test_writes_over_what_is_there(self, account: Account) -> None:
        account.upload("source", b"new")
        account.upload("target", b"old")
        source = account.blobs.get(account.container, "source")
        assert source is not None
        account.blobs.copy((account.container, "source"), (account.container, "target"), etag=source.etag)
        until_copied(account.blobs, account.container, "target")
        assert account.blobs.read(account.container, "target").data == b"new"

    def test_fails_where_the_source_changed(self, account: Account) -> None:
        account.upload("source", b"first")
        before = account.blobs.get(account.container, "source")
        assert before is not None
        account.upload("source", b"second")
        with pytest.raises(PreconditionFailed):
            account.blobs.copy((account.container, "source"), (account.container, "target"), etag=before.etag)
        assert account.blobs.get(account.container, "target") is None

    def test_fails_where_the_source_is_gone(self, blobs: Blobs, box: str) -> None:
        etag = blobs.replace(box, "source", b"")
        blobs.delete(box, "source")
        with pytest.raises(BlobNotFound):
            blobs.copy((box, "source"), (box, "target"), etag=etag)


class TestLease:
    def test_lets_its_holder_alone_write(self, blobs: Blobs, box: str) -> None:
        etag = blobs.replace(box, "file", b"first")
        with blobs.lease(box, "file", 60) as lease:
            for write in writes(blobs, box, etag):
                with pytest.raises(PreconditionFailed):
                    write()
            etag = blobs.replace(box, "file", b"second", etag=etag, lease=lease)
            lease.renew()
            blobs.replace(box, "file", b"third", etag=etag, lease=lease)
        assert blobs.read(box, "file").data == b"third"

    def test_is_over_with_its_context(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"first")
        with blobs.lease(box, "file", 60) as lease:
            pass
        with pytest.raises(PreconditionFailed):
            blobs.replace(box, "file", b"second", lease=lease)
        blobs.replace(box, "file", b"second")
        with blobs.lease(box, "file", 60):
            pass

    def test_is_released_after_an_error(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"first")
        with pytest.raises(ZeroDivisionError), blobs.lease(box, "file", 60):
            _ = 1 / 0
        blobs.replace(box, "file", b"second")

    def test_is_granted_to_one(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"first")
        with blobs.lease(box, "file", 60), pytest.raises(PreconditionFailed), blobs.lease(box, "file", 60):
            pytest.fail("Two hold the lease.")

    def test_of_nothing_is_not_granted(self, blobs: Blobs, box: str) -> None:
        with pytest.raises(BlobNotFound), blobs.lease(box, "nothing", 60):
            pytest.fail("There is nothing to hold.")

    def test_does_not_keep_from_reading(self, blobs: Blobs, box: str) -> None:
        blobs.create(box, "file", b"first")
        with blobs.lease(box, "file", 60):
            assert blobs.read(box, "file").data == b"first"
            assert blobs.get(box, "file") is not None

    @over_azurite_slow
    def test_runs_out_when_its_holder_is_killed(self, account: Account) -> None:
        blobs, box = account.blobs, account.container
        blobs.create(box, "file", b"first")
        with blobs.lease(box, "file", 15) as lost:
            account.wait(16)
            with blobs.lease(box, "file", 60) as held:
                assert held.id != lost.id
                assert isinstance(lost, HeldLease | MemoryLease)
                with pytest.raises(PreconditionFailed):
                    lost.renew()
                with pytest.raises(PreconditionFailed):
                    blobs.replace(box, "file", b"second", lease=lost)
                blobs.replace(box, "file", b"third", lease=held)


def writes(blobs: Blobs, box: str, etag: str) -> list[Callable[[], object]]:
    """Return every way to write a blob without showing the lease on it."""
    return [
        lambda: blobs.replace(box, "file", b"other"),
        lambda: blobs.replace(box, "file", b"other", etag=etag),
        lambda: blobs.delete(box, "file"),
        lambda: blobs.create(box, "file", b"other"),
    ]


class TestQueues:
    def test_a_message_is_json(self, account: Account) -> None:
        account.queues.send(account.queue, {"experiment": "målning", "tries": 3})
        assert account.messages() == [{"experiment": "målning", "tries": 3}]

    @over_azurite_slow
    def test_a_delayed_message_cannot_be_seen_before(self, account: Account) -> None:
        account.queues.send(account.queue, {"number": 1}, delay=6)
        account.queues.send(account.queue, {"number": 2})
        assert account.messages() == [{"number": 2}]
        account.wait(7)
        assert {message["number"] for message in account.messages()} == {1, 2}
