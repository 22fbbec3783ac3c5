"""What is remembered of a large upload, so that it goes on where it was cut off.

Storage keeps blocks that were sent for a week, and a SAS that may only create cannot ask for them; so they are noted
here, in a small file for each upload.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import typer
from attrs import define, field

from kedja_cli.files.local_file import LocalFile

_LONGEST_INDEX = 6  # digits; all ids of a blob's blocks must be equally long


def folder() -> Path:
    """Return where uploads are remembered, in this user's own folder."""
    return Path(typer.get_app_dir("kedja")) / "uploads"


@define(kw_only=True)
class UploadMemory:
    """The blocks of one upload that storage has. `block` is the size of a block in bytes."""

    path: Path
    token: str
    block: int
    sent: set[int] = field(factory=set)

    @classmethod
    def open(cls, file: LocalFile, address: str, block: int) -> Self:
        """Read what is known of this upload, or begin anew where the file or its address is another one.

        `address` is the blob's URL without its SAS.
        """
        key = hashlib.sha256(f"{address}\n{file.path.absolute()}".encode()).hexdigest()
        path = folder() / f"{key[:32]}.jsonl"
        head = {"size": file.size, "modified": file.modified, "block": block}
        try:
            first, *indexes = map(json.loads, path.read_text().splitlines())
            token = first.pop("token")
            if first == head:
                return cls(path=path, token=token, block=block, sent=set(indexes))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass  # none there, or its last line was cut off: all is sent again
        token = secrets.token_hex(8)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(json.dumps({**head, "token": token}) + "\n")
        return cls(path=path, token=token, block=block)

    def block_id(self, index: int) -> str:
        """Return a block's id before Base64. The token keeps blocks of another content out."""
        return f"{self.token}-{index:0{_LONGEST_INDEX}}"

    def note(self, index: int) -> None:
        """Remember that storage has a block."""
        self.sent.add(index)
        with self.path.open("a") as file:
            file.write(f"{index}\n")

    def missing(self, indexes: Iterable[int]) -> list[int]:
        return [index for index in indexes if index not in self.sent]

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
