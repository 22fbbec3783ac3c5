"""Unpacks archives among the dropped data, on the node, next to where they lie.

An archive is taken for hostile: nothing of it may land outside of its folder, be anything other than a file or a
folder, take another file's place, or fill the disk. The first member that would do so is named, and the job refused.
Sizes are counted while they are written, as an archive's own figures can lie.
"""

import errno
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from training_job.errors import ArchiveError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_FILES = 1_000_000
MOST_RATIO = 200
"""How many times its own size an archive may unpack to, once that is more than FREE_BYTES."""
FREE_BYTES = 64 << 20
_DISK_SHARE = 0.9
_BLOCK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    # What the readers let through where a figure or a name in an archive is out of any range.
    ValueError,
    IndexError,
    OverflowError,
)
_HOSTILE = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ})
"""What the system says of places and names that an archive made up."""


@dataclass
class _Budget:
    """What one archive may still write."""

    name: str
    most: int
    written: int = 0
    members: int = 0
    seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, archive: Path, target: Path) -> "_Budget":
        ratio = max(FREE_BYTES, MOST_RATIO * archive.stat().st_size)
        return cls(name=archive.name, most=min(ratio, int(_DISK_SHARE * shutil.disk_usage(target).free)))

    def take(self, size: int) -> None:
        self.written += size
        if self.written > self.most:
            raise ArchiveError(
                f"archive {self.name} unpacks to more than {self.most} bytes ({MOST_RATIO} times its size, or what the "
                "disk holds): nothing of it is used"
            )

    def place(self, member: str, target: Path) -> Path:
        """Return where a member goes."""
        self.members += 1
        if self.members > MOST_FILES:
            raise ArchiveError(f"archive {self.name} holds more than {MOST_FILES} members")
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ArchiveError(f"archive {self.name} holds {member!r}, which leads out of its folder")
        if "\\" in member or "\0" in member:
            raise ArchiveError(f"archive {self.name} holds {member!r}: a name with a backslash is not unpacked")
        return target / path


def unpacked(data: Path, target: Path) -> Path:
    """Return a folder that shows the data with its archives unpacked: the data's own where there is no archive.

    Else `target` is made anew: links to the dropped files, the archives among them, and what these hold beside them.

    Raises:
        ArchiveError: An archive is damaged, or a member of it is refused; the message names both.
    """
    files = [Path(parent, name) for parent, _, names in os.walk(data) for name in sorted(names)]
    archives = [path for path in files if path.name.lower().endswith(SUFFIXES)]
    if not archives:
        return data
    shutil.rmtree(target, ignore_errors=True)
    for path in files:
        link = target / path.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    for path in archives:
        _unpack(path, (target / path.relative_to(data)).parent)
    return target


def _unpack(archive: Path, target: Path) -> None:
    budget = _Budget.of(archive, target)
    with _damage(archive):
        if archive.suffix.lower() == ".zip":
            _unpack_zip(archive, target, budget)
        else:
            _unpack_tar(archive, target, budget)


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise ArchiveError(f"archive {archive.name} is damaged, or of a kind that is not read: {error}") from error
    except OSError as error:
        is_its_fault = isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError)
        if error.errno is not None and error.errno not in _HOSTILE and not is_its_fault:
            raise
        reason = error.strerror or error
        raise ArchiveError(f"archive {archive.name} cannot be unpacked: {reason}") from error


def _unpack_zip(archive: Path, target: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            kind = member.external_attr >> 28  # the file type of Unix, where the archive was made on one
            path = budget.place(member.filename, target)
            if kind not in (0, 0o04, 0o10):
                raise ArchiveError(f"archive {archive.name} holds {member.filename!r}, which is no file and no folder")
            if member.is_dir():
                _make_folder(path, target, budget)
                continue
            if member.flag_bits & 1:
                raise ArchiveError(f"archive {archive.name} is encrypted: {member.filename!r} cannot be read")
            with opened.open(member) as source:
                _write(source, path, target, budget)


def _unpack_tar(archive: Path, target: Path, budget: _Budget) -> None:
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name.strip("./") == "" and member.isdir():
                continue  # `tar -C folder .` begins with it
            path = budget.place(member.name, target)
            if member.isdir():
                _make_folder(path, target, budget)
                continue
            source = opened.extractfile(member) if member.isreg() else None
            if source is None:
                what = "link" if member.issym() or member.islnk() else "device or pipe"
                raise ArchiveError(f"archive {archive.name} holds {member.name!r}, a {what}: only files are unpacked")
            with source:
                _write(source, path, target, budget)


def _make_folder(path: Path, target: Path, budget: _Budget) -> None:
    """Make a folder below `target`; nothing on the way may be a link, as those lead to the dropped files."""
    step = target
    for part in path.relative_to(target).parts:
        step = step / part
        if step.is_symlink() or (step.exists() and not step.is_dir()):
            raise ArchiveError(f"archive {budget.name} takes the place of the file {step.relative_to(target)}")
    path.mkdir(parents=True, exist_ok=True)


def _write(source: IO[bytes], path: Path, target: Path, budget: _Budget) -> None:
    _make_folder(path.parent, target, budget)
    if path.is_symlink() or path.exists():
        raise ArchiveError(f"archive {budget.name} takes the place of the file {path.relative_to(target)}")
    with path.open("xb") as stream:
        while block := source.read(_BLOCK):
            budget.take(len(block))
            stream.write(block)
