"""Grants: addresses in storage that files may be written to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from attrs import field, frozen

from kedja_cli.files.local_file import LocalFile
from kedja_cli.json_text import Json
from kedja_cli.service.api import Api

MOST = 1000
"""Files that the service grants in one answer."""


@frozen(kw_only=True)
class Grant:
    """Where a file may be written: a URL with a SAS and the headers of Put Blob, or no URL where it is there already.

    `blocks` says whether the file may come in blocks; `there_size` and `there_md5` are of what has its name now, and
    `there_modified` is when storage took that.
    """

    url: str | None = field(repr=False)  # anyone who has it may write there
    headers: Mapping[str, str] = {}
    blocks: bool = True
    there_size: int | None = None
    there_md5: str | None = None
    there_modified: datetime | None = None

    def has(self, file: LocalFile, md5: str | None) -> bool:
        """Return whether storage has the file."""
        return self.url is None or (md5 is not None and (self.there_size, self.there_md5) == (file.size, md5))


class Door(Protocol):
    """Gives grants for the files of one experiment."""

    @property
    def takes_md5(self) -> bool:
        """Whether it has use for MD5s beforehand; else a file is read once, when it is sent."""
        ...

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[Grant]:
        """Return where to write each of at most MOST files. Beside a file stands its MD5, where that is known yet."""
        ...


@frozen
class ServiceDoor:
    """Asks the service, so that people who drop files need no role in storage."""

    api: Api
    experiment: str
    takes_md5: bool = True

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[Grant]:
        wanted = [
            {"container": file.container, "name": file.name, "size": file.size, **({"md5": md5} if md5 else {})}
            for file, md5 in files
        ]
        answer = self.api.post(f"/api/experiments/{quote(self.experiment, safe='')}/uploads", {"files": wanted})
        return [_grant(item) for item in answer["items"]]


def _grant(item: Json) -> Grant:
    there = item["there"] or {}
    modified = there.get("modified")
    return Grant(
        url=item["url"],
        headers=item["headers"],
        blocks=item["blocks"],
        there_size=there.get("size"),
        there_md5=there.get("md5"),
        there_modified=datetime.fromisoformat(modified) if modified else None,
    )
