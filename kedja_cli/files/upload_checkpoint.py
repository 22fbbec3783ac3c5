"""The checkpoint of a large upload, from which an interrupted upload continues.

Storage keeps uncommitted blocks for a week, but a SAS that may only create blobs cannot list them. So they are recorded
on this machine, in a small file for each upload.
"""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Self

import typer
from attrs import define, field

from kedja_cli.files.local_file import LocalFile

_INDEX_DIGITS = 6  # all block ids of a blob must have the same length


def checkpoint_folder() -> Path:
    """Return the folder of checkpoints, in the configuration folder of this user."""
    return Path(typer.get_app_dir("kedja")) / "uploads"


@define(kw_only=True)
class UploadCheckpoint:
    """The blocks of one upload that storage has. `block` is the block size in bytes."""

    path: Path
    token: str
    block: int
    sent: set[int] = field(factory=set)

    @classmethod
    def open(cls, file: LocalFile, address: str, block: int) -> Self:
        """Read the checkpoint of this upload, or create one if there is none for the same file, address and block size.

        `address` is the blob's URL without its SAS.
        """
        key = hashlib.sha256(f"{address}\n{file.path.absolute()}".encode()).hexdigest()
        path = checkpoint_folder() / f"{key[:32]}.jsonl"
        head = {"size": file.size, "modified": file.modified, "block": block}
        try:
            first, *indexes = map(json.loads, path.read_text().splitlines())
            token = first.pop("token")
            if first == head:
                return cls(path=path, token=token, block=block, sent=set(indexes))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass  # there is none, or its last line is incomplete: everything is sent again
        token = secrets.token_hex(8)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(json.dumps({**head, "token": token}) + "\n")
        return cls(path=path, token=token, block=block)

    def block_id(self, index: int) -> str:
        """Return a block's id, before Base64. The token keeps blocks of other content out."""
        return f"{self.token}-{index:0{_INDEX_DIGITS}}"

    def mark_sent(self, index: int) -> None:
        """Record that storage has a block."""
        self.sent.add(index)
        with self.path.open("a") as file:
            file.write(f"{index}\n")

    def delete(self) -> None:
        """Delete the checkpoint."""
        self.path.unlink(missing_ok=True)
