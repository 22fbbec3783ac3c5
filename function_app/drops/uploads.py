"""Uploads: links with which people without a role in storage drop files, and records of who requested them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import accumulate
from os.path import commonprefix
from typing import Literal

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.drops.path_rules import LONGEST_BLOB, folder_problem, path_error, quote_name
from function_app.errors import Invalid
from function_app.ports.clock import Clock
from function_app.ports.storage import MAX_LIST_PAGE, BlobItem, Blobs, Permission, iter_items

FOLDER = ".uploads/"
"""Prefix in the container `receipts` of the records of who requested links."""
LIFETIME = timedelta(hours=1)
MOST_FILES = 1000
"""Max links of one request."""
LARGEST_PIECE = 256 << 20
"""Bytes of a file above which its link allows blocks, so that an interrupted upload can be resumed. Blocks need a link
with write permission, which can also overwrite the file
(https://learn.microsoft.com/rest/api/storageservices/create-service-sas, "Permissions for a blob")."""
MOST_RECORDS = 100
"""Max records to read for a receipt, newest first."""
MOST_READ = 8 << 20
"""Max bytes of records to read for a receipt. A record of a thousand files has up to about 1 MiB."""

_LOOKED_AT_ONE_BY_ONE = 8
"""Max files to look up by name; for more, one listing is cheaper."""
_MOST_PARTS = 254
_LAST_SECOND = 99_999_999_999


class InvalidName(Invalid):
    """The name of a folder or file is not allowed."""


class RequestedFile(Document):
    """A file that a caller wants to drop. `size` in bytes, `md5` in Base64."""

    container: Literal["data", "scripts"]
    name: str
    size: int | None = None
    md5: str | None = None


@frozen(kw_only=True)
class SignedUpload:
    """A link for one file, or none if the same content exists. `there` is the current blob of that name."""

    file: RequestedFile
    url: str | None
    headers: Mapping[str, str]
    blocks: bool
    expires: datetime | None
    there: BlobItem | None


class UploadRecord(Document):
    """`receipts/.uploads/<experiment>/<inverted time>-<hash>.json`: who requested links to which files, and when."""

    by: str
    at: datetime
    files: tuple[tuple[str, str], ...]


@frozen(kw_only=True)
class Uploads:
    """Creates upload links, and records who requested them."""

    blobs: Blobs
    clock: Clock

    def links(self, folder: str, files: Sequence[RequestedFile], *, by: str) -> list[SignedUpload]:
        """Return a link for each file of an experiment's folder, in the same order.

        Raises:
            InvalidName: the name of the folder or of a file is not allowed.
        """
        check_folder(folder)
        for file in files:
            check_file(folder, file.name)
        there = self._there(folder, files)
        expires = self.clock().replace(microsecond=0) + LIFETIME
        wanted = [file for file in files if not _is_same(file, there.get((file.container, file.name)))]
        if wanted:
            self._remember(folder, wanted, by)
        return [self._link(folder, file, there.get((file.container, file.name)), expires) for file in files]

    def latest_links(self, experiment: str) -> Mapping[tuple[str, str], tuple[str, datetime]]:
        """Return who last requested a link to each (container, name), and when. One call, and one for each record.

        Only the newest records are read, at most `MOST_RECORDS` and `MOST_READ` bytes.
        """
        newest = self.blobs.page(naming.RECEIPTS, f"{FOLDER}{experiment}/", size=MOST_RECORDS).items
        sizes = accumulate(item.size for item in newest)
        items = [item for item, size in zip(newest, sizes, strict=True) if size <= MOST_READ]
        if not items:
            return {}
        with ThreadPoolExecutor(min(16, len(items))) as pool:
            records = list(pool.map(lambda item: self._record(item.name), items))
        return {
            (container, name): (record.by, record.at)
            for record in reversed(records)
            for container, name in record.files
        }

    def _record(self, name: str) -> UploadRecord:
        return UploadRecord.from_bytes(self.blobs.read(naming.RECEIPTS, name).data)

    def _remember(self, folder: str, files: Iterable[RequestedFile], by: str) -> None:
        """Write the record, before any link is returned: a file without a record was not uploaded with a link."""
        at = self.clock()
        record = UploadRecord(by=by, at=at, files=tuple((file.container, file.name) for file in files))
        data = record.model_dump_json().encode()
        place = f"{_LAST_SECOND - int(at.timestamp()):011d}-{hashlib.sha256(data).hexdigest()[:16]}"
        self.blobs.replace(naming.RECEIPTS, f"{FOLDER}{naming.slug(folder)}/{place}.json", data)

    def _there(self, folder: str, files: Sequence[RequestedFile]) -> dict[tuple[str, str], BlobItem]:
        found: dict[tuple[str, str], BlobItem] = {}
        for container in sorted({file.container for file in files}):
            asked = {f"{folder}/{file.name}" for file in files if file.container == container}
            for item in self._items(container, asked):
                if item.name in asked:
                    found[container, item.name.removeprefix(f"{folder}/")] = item
        return found

    def _items(self, container: str, asked: set[str]) -> Iterable[BlobItem]:
        if len(asked) <= _LOOKED_AT_ONE_BY_ONE:
            with ThreadPoolExecutor(_LOOKED_AT_ONE_BY_ONE) as pool:
                looked = pool.map(lambda name: self.blobs.get(container, name), sorted(asked))
                yield from (item for item in looked if item is not None)
            return
        prefix = commonprefix(sorted(asked))  # noqa: RUF071 - listings take a string prefix
        yield from iter_items(self.blobs, container, prefix, size=MAX_LIST_PAGE)

    def _link(self, folder: str, file: RequestedFile, there: BlobItem | None, expires: datetime) -> SignedUpload:
        if _is_same(file, there):
            return SignedUpload(file=file, url=None, headers={}, blocks=False, expires=None, there=there)
        blocks = there is not None or (file.size or 0) > LARGEST_PIECE
        permission = Permission.WRITE if blocks else Permission.CREATE
        headers = {"x-ms-blob-type": "BlockBlob"}
        if there is None:
            headers["If-None-Match"] = "*"
        if file.md5:
            headers |= {"Content-MD5": file.md5, "x-ms-blob-content-md5": file.md5}
        url = self.blobs.sign(file.container, f"{folder}/{file.name}", permission=permission, expires=expires)
        return SignedUpload(file=file, url=url, headers=headers, blocks=blocks, expires=expires, there=there)


def check_folder(folder: str) -> None:
    """Check the name of an experiment's folder.

    Raises:
        InvalidName: no experiment can have this name.
    """
    if "/" in folder:
        raise InvalidName(f"The folder {quote_name(folder)} is a path: an experiment is a top-level folder.")
    if folder == naming.ROOT_EXPERIMENT:
        raise InvalidName(f"The folder {quote_name(folder)} is reserved for files outside of any folder.")
    _check(f"The folder {quote_name(folder)}", folder_problem(folder), folder, folder)


def check_file(folder: str, name: str) -> None:
    """Check the name of a file in the folder.

    Raises:
        InvalidName: no job can use a file of this name, or it would be ignored.
    """
    _check(quote_name(name), path_error(name), name, f"{folder}/{name}")


def _check(what: str, problem: str | None, name: str, path: str) -> None:
    if problem is None and (len(path) > LONGEST_BLOB or path.count("/") >= _MOST_PARTS):
        problem = f"is too long: with its folder, it may have at most {LONGEST_BLOB} characters and {_MOST_PARTS} parts"
    if problem is None and naming.is_ignored(name):
        problem = f"would be ignored: hidden and temporary files ({', '.join(naming.IGNORED)}) are not part of a drop"
    if problem is not None:
        raise InvalidName(f"{what} {problem}.")


def _is_same(file: RequestedFile, there: BlobItem | None) -> bool:
    return there is not None and file.md5 is not None and there.md5 == file.md5
