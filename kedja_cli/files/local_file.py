"""Finds the files on this machine to drop, and decides the container and name of each."""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from function_app.domain import naming
from kedja_cli.errors import CommandError, Exit

SCRIPT = re.compile(r"\.(py|ipynb|ya?ml|toml|cfg|ini|sh)$|(^|/)requirements[^/]*\.txt$", re.IGNORECASE)
"""Names of files that are scripts, unless their folder says otherwise."""


@frozen(kw_only=True)
class LocalFile:
    """A file to be dropped. `name` is relative to the experiment's folder in `container`; `size` is in bytes.

    `modified` is in nanoseconds; together with the size it shows whether the file has changed.
    """

    path: Path
    container: str
    name: str
    size: int
    modified: int

    @classmethod
    def from_path(cls, path: Path, container: str, name: str) -> "LocalFile":
        """Return the file at `path` as it is now."""
        facts = path.stat()
        return cls(path=path, container=container, name=name, size=facts.st_size, modified=facts.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Check that the file has not changed since it was found.

        Raises:
            CommandError: If it has.
        """
        facts = self.path.stat()
        if (facts.st_size, facts.st_mtime_ns) != (self.size, self.modified):
            raise CommandError(f"{self.path} changed while it was being sent.", "Drop it again once it is complete.")

    def md5(self) -> str:
        """Return the MD5 of the content in Base64, as Content-MD5 has it."""
        with self.path.open("rb") as content:
            digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
        return base64.b64encode(digest.digest()).decode()


@frozen
class FoundFiles:
    """The files to drop, and the number of hidden or temporary files that were left out."""

    files: Sequence[LocalFile]
    ignored: int


def find(paths: Iterable[Path], container: str) -> FoundFiles:
    """Find the files for one container: a file by its own name, a folder's files by their paths in the folder.

    Raises:
        CommandError: If a path does not exist, or two files would have the same name.
    """
    return _collect((one, container, name) for path in paths for one, name in _walk(path))


def classify(paths: Sequence[Path]) -> FoundFiles:
    """Find the files and separate data from scripts, as the page does (function_app/http/web/folder.js).

    If one folder is given, names are relative to it; if several, names begin with the folder's. Then files in `data/`
    or `scripts/` go to that container; the name of any other file decides.

    Raises:
        CommandError: As `find` does.
    """
    alone = len(paths) == 1
    named = [
        (one, name if alone or path.is_file() else f"{path.resolve().name}/{name}")
        for path in paths
        for one, name in _walk(path)
    ]
    return _collect((one, *_container_and_name(name)) for one, name in named)


def _container_and_name(name: str) -> tuple[str, str]:
    """Return the container of a file, and its name in the container."""
    folder, _, rest = name.partition("/")
    if rest and folder in (naming.DATA, naming.SCRIPTS):
        return folder, rest
    return naming.SCRIPTS if SCRIPT.search(name) else naming.DATA, name


def _collect(placed: Iterable[tuple[Path, str, str]]) -> FoundFiles:
    files: dict[tuple[str, str], LocalFile] = {}
    ignored = 0
    for path, container, name in placed:
        if naming.is_ignored(name):
            ignored += 1
            continue
        if other := files.get((container, name)):
            raise CommandError(
                f"{other.path} and {path} would both be {container}/…/{name}.",
                "Give the folder that contains both, so that their names differ.",
                code=Exit.USAGE,
            )
        files[container, name] = LocalFile.from_path(path, container, name)
    return FoundFiles(tuple(files.values()), ignored)


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
            if one.is_file():  # not a socket or a broken link
                yield one, one.relative_to(path).as_posix()
