"""Files on this machine that are to be dropped, and what each is to be called."""

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from function_app import names
from kedja_cli.errors import CommandError, Exit


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


def apart(paths: Sequence[Path], scripts: Sequence[Path]) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return what is data and what is scripts, where one folder was given that holds `data/` and `scripts/` itself."""
    if scripts or len(paths) != 1:
        return paths, scripts
    inside = {name: paths[0] / name for name in (names.DATA, names.SCRIPTS) if (paths[0] / name).is_dir()}
    if names.SCRIPTS not in inside:  # a folder of data may well hold one that is called data
        return paths, scripts
    return [inside[names.DATA]] if names.DATA in inside else [], [inside[names.SCRIPTS]]


def find(paths: Iterable[Path], container: str) -> Found:
    """Find the files: a file by its own name, a folder's content by names relative to the folder.

    Raises:
        CommandError: where a path is not there, or two files would have one name.
    """
    files: dict[str, LocalFile] = {}
    ignored = 0
    for path in paths:
        if not path.exists():
            raise CommandError(f"There is no file or folder {path}.", code=Exit.USAGE)
        for one, name in _walk(path):
            if names.is_ignored(name):
                ignored += 1
                continue
            if name in files:
                other = files[name].path
                raise CommandError(
                    f"{other} and {one} would both be {container}/…/{name}.",
                    "Give the folder that holds both, so that their names differ.",
                    code=Exit.USAGE,
                )
            files[name] = LocalFile.at(one, container, name)
    return Found(tuple(files.values()), ignored)


def _walk(path: Path) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, path.name
        return
    for folder, folders, content in os.walk(path):
        folders.sort()
        for name in sorted(content):
            one = Path(folder, name)
            if one.is_file():  # and not a socket, or a link that leads nowhere
                yield one, one.relative_to(path).as_posix()
