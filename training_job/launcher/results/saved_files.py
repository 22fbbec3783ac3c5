"""The files to which a script saved Links and Trainers, found again after they were renamed or moved."""

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

MOST_ENTRIES = 200_000
"""Max files of a folder that are looked at."""
_NOT_RESULTS = frozenset({".kedja", "__pycache__", "site-packages", ".git", ".ipynb_checkpoints"})


class Kind(StrEnum):
    """How something was saved. Of a snapshot, the model is a part."""

    NPZ = "npz"
    HDF5 = "hdf5"
    PICKLE = "pickle"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """A record of `training_job.metrics.saved`. `number`, `holds` and `held_by` are of objects of one process.

    `inode` (with its device), `size` in bytes and `modified` in ns are of the file when it was saved, if known.
    """

    path: Path
    kind: Kind
    link: str
    has_predictor: bool
    process: int
    step: int
    number: int
    holds: frozenset[int]
    held_by: frozenset[int]
    inode: tuple[int, int] | None
    size: int | None
    modified: int | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the record from JSON.

        Raises:
            KeyError, TypeError, ValueError: It is not such a record.
        """
        inode = document.get("file")
        path = Path(str(document["path"]))
        if not path.is_absolute():
            raise ValueError(f"{path} is not absolute")
        return cls(
            path=Path(os.path.realpath(path.parent), path.name),
            kind=Kind(document["kind"]),
            link=str(document["link"]),
            has_predictor=bool(document["has_predictor"]),
            process=int(document["process"]),
            step=int(document["step"]),
            number=int(document["object"]),
            holds=frozenset(map(int, document["holds"])),
            held_by=frozenset(map(int, document["held_by"])),
            inode=None if inode is None else (int(inode[0]), int(inode[1])),
            size=None if "size" not in document else int(document["size"]),
            modified=None if "modified" not in document else int(document["modified"]),
        )


def files_in(folder: Path, skipped: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield the regular files of a folder, without links, caches, packages and the folders `skipped`, sorted by path.

    At most `MOST_ENTRIES`.
    """
    left = set(skipped)
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_RESULTS and Path(parent, name) not in left)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
                count += 1
                if count == MOST_ENTRIES:
                    return


def find(saved: Sequence[SavedFile], folders: Sequence[Path]) -> dict[Path, SavedFile]:
    """Return the files of these records that are there now, each with its last record, in the order of these.

    A file that is no longer in its place is looked for in the folders: a renamed file keeps its inode, and one
    that was moved to another disk its size and its time of change.
    """
    last = {record.path: record for record in saved}
    moved: _Moved | None = None
    found: dict[Path, SavedFile] = {}
    for record in saved:
        path: Path | None = record.path
        if not _is_there(record, is_last=last[record.path] is record):
            moved = moved or _Moved(folders)
            path = moved.find(record)
        if path is not None and _is_whole(path):
            found.pop(path, None)
            found[path] = record
    return found


def series(path: Path) -> tuple[Path, str] | None:
    """Return what the files of a numbered series have in common: `model_iter_#` for `model_iter_100`; None if none."""
    pattern = re.sub(r"\d+", "#", path.name)
    return None if pattern == path.name else (path.parent, pattern)


def _is_there(record: SavedFile, *, is_last: bool) -> bool:
    """Whether a file is still in its place. One that was saved over by another record is not."""
    try:
        status = record.path.stat()
    except OSError:
        return False
    return is_last or (status.st_dev, status.st_ino) == record.inode


def _is_whole(path: Path) -> bool:
    """Whether a file has content and, if it begins as an archive, also the archive's end."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        return bool(start) and (start[:2] != b"PK" or zipfile.is_zipfile(path))
    except OSError:
        return False


class _Moved:
    """The files of some folders, by what stays the same if a file is renamed or moved."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._by_inode: dict[tuple[int, int], tuple[Path, int, int]] = {}
        self._by_content: dict[tuple[int, int], list[Path]] = {}
        for path in (path for folder in folders for path in files_in(folder)):
            status = path.stat()
            size, modified = status.st_size, status.st_mtime_ns
            self._by_inode[status.st_dev, status.st_ino] = path, size, modified
            self._by_content.setdefault((size, modified), []).append(path)

    def find(self, record: SavedFile) -> Path | None:
        if record.inode in self._by_inode:
            path, size, modified = self._by_inode[record.inode]
            # The inode of a removed file may have been given to another one.
            if record.modified is None or (size, modified) == (record.size, record.modified):
                return path
        if record.size is None or record.modified is None:
            return None
        paths = self._by_content.get((record.size, record.modified), [])
        return paths[0] if len(set(paths)) == 1 else None
