"""Files on this machine that are to be dropped, and what each is to be called."""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from function_app import names
from kedja_cli.errors import CommandError, Exit

SCRIPT = re.compile(r"\.(py|ya?ml|toml|cfg|ini|sh)$|(^|/)requirements[^/]*\.txt$", re.IGNORECASE)
"""Names of files that are scripts where no folder says what they are."""


@frozen(kw_only=True)
class LocalFile:
    """A file to be dropped. `name` is relative to the experiment's folder in `container`; `size` is in bytes.

    `modified` is in nanoseconds: with the size it tells whether the file has changed since.
    """

    path: Path
    container: str
    name: str
    size: int
    modified: int

    @classmethod
    def at(cls, path: Path, container: str, name: str) -> "LocalFile":
        facts = path.stat()
        return cls(path=path, container=container, name=name, size=facts.st_size, modified=facts.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Raise CommandError where the file is not the one that was found any more."""
        facts = self.path.stat()
        if (facts.st_size, facts.st_mtime_ns) != (self.size, self.modified):
            raise CommandError(f"{self.path} changed while it was being sent.", "Drop it again once it is complete.")

    def md5(self) -> str:
        """Return the MD5 of the content in Base64, as Content-MD5 has it."""
        with self.path.open("rb") as content:
            digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
        return base64.b64encode(digest.digest()).decode()


@frozen
class Found:
    """What is to be dropped, and how many files were left out since nobody means to drop them."""

    files: Sequence[LocalFile]
    ignored: int


def find(paths: Iterable[Path], container: str) -> Found:
    """Find the files for one container: a file by its own name, a folder's content by names relative to the folder.

    Raises:
        CommandError: where a path is not there, or two files would have one name.
    """
    return _found((one, container, name) for path in paths for one, name in _walk(path))


def sort(paths: Sequence[Path]) -> Found:
    """Find the files and tell data from scripts, as the page does (function_app/web/folder.js).

    One folder's content has names relative to it; of several the folders' own names stay. What is in `data/` or
    `scripts/` then goes there; every other file goes where its ending says.

    Raises:
        CommandError: as `find` does.
    """
    alone = len(paths) == 1
    named = [
        (one, name if alone or path.is_file() else f"{path.resolve().name}/{name}")
        for path in paths
        for one, name in _walk(path)
    ]
    return _found((one, *_place(name)) for one, name in named)


def _place(name: str) -> tuple[str, str]:
    """Return the container of a file, and its name there."""
    folder, _, rest = name.partition("/")
    if rest and folder in (names.DATA, names.SCRIPTS):
        return folder, rest
    return names.SCRIPTS if SCRIPT.search(name) else names.DATA, name


def _found(placed: Iterable[tuple[Path, str, str]]) -> Found:
    files: dict[tuple[str, str], LocalFile] = {}
    ignored = 0
    for path, container, name in placed:
        if names.is_ignored(name):
            ignored += 1
            continue
        if other := files.get((container, name)):
            raise CommandError(
                f"{other.path} and {path} would both be {container}/…/{name}.",
                "Give the folder that holds both, so that their names differ.",
                code=Exit.USAGE,
            )
        files[container, name] = LocalFile.at(path, container, name)
    return Found(tuple(files.values()), ignored)


def _walk(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise CommandError(f"There is no file or folder {path}.", code=Exit.USAGE)
    if path.is_file():
        yield path, path.name
        return
    for folder, folders, content in os.walk(path):
        folders.sort()
        for name in sorted(content):
            one = Path(folder, name)
            if one.is_file():  # and not a socket, or a link that leads nowhere
                yield one, one.relative_to(path).as_posix()
