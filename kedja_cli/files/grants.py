"""Upload grants: addresses in storage that files may be written to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from attrs import field, frozen

from kedja_cli.files.local_file import LocalFile
from kedja_cli.json_text import Json
from kedja_cli.service.api import Api

MAX_FILES = 1000
"""The maximum number of files in one request to the service."""


@frozen(kw_only=True)
class UploadGrant:
    """Where a file may be written: a URL with a SAS and the headers of Put Blob, or no URL if storage has the file.

    `blocks` says whether the file may be sent in blocks. `existing_size`, `existing_md5` and `existing_modified`
    describe the blob that has its name now.
    """

    url: str | None = field(repr=False)  # anyone who has it may write there
    headers: Mapping[str, str] = {}
    blocks: bool = True
    existing_size: int | None = None
    existing_md5: str | None = None
    existing_modified: datetime | None = None

    def has(self, file: LocalFile, md5: str | None) -> bool:
        """Return whether storage has the file."""
        return self.url is None or (md5 is not None and (self.existing_size, self.existing_md5) == (file.size, md5))


class UploadAuthorizer(Protocol):
    """Grants uploads of the files of one experiment."""

    @property
    def uses_md5(self) -> bool:
        """Whether `grants` uses the MD5s of files. If not, a file is read only once, when it is sent."""
        ...

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[UploadGrant]:
        """Return a grant for each of at most `MAX_FILES` files, given with their MD5s if these are known yet.

        Raises:
            CommandError: If uploads are not granted.
        """
        ...


@frozen
class ServiceAuthorizer:
    """Gets grants from the service, so that people who drop files need no role in storage."""

    api: Api
    experiment: str
    uses_md5: bool = True

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[UploadGrant]:
        """Return the service's grant for each file.

        Raises:
            CommandError: If the service refuses, or does not answer.
        """
        requested = [
            {"container": file.container, "name": file.name, "size": file.size, **({"md5": md5} if md5 else {})}
            for file, md5 in files
        ]
        response = self.api.post(f"/api/experiments/{quote(self.experiment, safe='')}/uploads", {"files": requested})
        return [_grant(item) for item in response["items"]]


def _grant(item: Json) -> UploadGrant:
    existing = item["there"] or {}
    modified = existing.get("modified")
    return UploadGrant(
        url=item["url"],
        headers=item["headers"],
        blocks=item["blocks"],
        existing_size=existing.get("size"),
        existing_md5=existing.get("md5"),
        existing_modified=datetime.fromisoformat(modified) if modified else None,
    )
