"""Unpacks the archives among the dropped data, each into its own folder.

Archives are not trusted: a member may not leave the folder, be anything but a file or a folder, replace another file,
or fill the disk. The first member that would do so is named in an error, and the job is refused. Sizes are counted
while data is written, as the sizes that an archive declares may be wrong.
"""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from training_job.errors import ArchiveError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_FILES = 1_000_000
MAX_RATIO = 200
"""Max ratio of unpacked to packed size, for archives that unpack to more than FREE_BYTES."""
FREE_BYTES = 64 << 20
_MAX_HEADER = 256 << 10
"""Max bytes of a member's header in a tar, which may contain names, comments and attributes."""
_MAX_GLOBAL_KEYS = 100
"""Max keys that a tar sets for all of its members; `git archive` sets one."""
_DISK_SHARE = 0.9
_BLOCK = 1 << 20
_COMPRESSED = ((b"\x1f\x8b", gzip.GzipFile), (b"BZh", bz2.BZ2File), (b"\xfd7zXZ\0", lzma.LZMAFile))
"""First bytes of compressed files, and their readers."""
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    # Raised by the readers for numbers and names out of range.
    ValueError,
    IndexError,
    OverflowError,
)
_HOSTILE = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ})
"""Error numbers for paths that the system does not accept."""


@dataclass
class _Budget:
    """Counts what is read and written of one archive, and enforces the limits."""

    name: str
    max_bytes: int
    written: int = 0
    read: int = 0
    members: int = 0
    seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, archive: Path, target: Path) -> "_Budget":
        ratio = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
        return cls(name=archive.name, max_bytes=min(ratio, int(_DISK_SHARE * shutil.disk_usage(target).free)))

    def spend(self, *, written: int = 0, read: int = 0) -> None:
        """Count bytes written, and bytes read of a compressed stream.

        Raises:
            ArchiveError: There are too many.
        """
        self.written += written
        self.read += read
        if max(self.written, self.read) > self.max_bytes:
            raise ArchiveError(
                f"archive {self.name} unpacks to more than {self.max_bytes} bytes ({MAX_RATIO} times its size, or "
                "what the disk holds): nothing of it is used"
            )

    def count(self) -> None:
        """Count a member.

        Raises:
            ArchiveError: There are too many.
        """
        self.members += 1
        if self.members > MAX_FILES:
            raise ArchiveError(f"archive {self.name} holds more than {MAX_FILES} members")

    def path_of(self, member: str, target: Path) -> Path:
        """Return the path that a member is written to.

        Raises:
            ArchiveError: Its name leads out of the folder, or contains a backslash.
        """
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ArchiveError(f"archive {self.name} holds {member!r}, which leads out of its folder")
        if "\\" in member or "\0" in member:
            raise ArchiveError(f"archive {self.name} holds {member!r}: a name with a backslash is not unpacked")
        return target / path


def unpack(folder: Path) -> None:
    """Unpack the archives in a folder of links to dropped files, each beside itself.

    Raises:
        ArchiveError: An archive is damaged, or a member is refused; the message names both.
    """
    files = [Path(parent, name) for parent, _, names in os.walk(folder) for name in sorted(names)]
    for path in files:
        if path.name.lower().endswith(SUFFIXES):
            _unpack(path, path.parent)


def _unpack(archive: Path, target: Path) -> None:
    budget = _Budget.of(archive, target)
    with _damage_reported(archive):
        if archive.suffix.lower() == ".zip":
            _unpack_zip(archive, target, budget)
        else:
            _unpack_tar(archive, target, budget)


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
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
            kind = member.external_attr >> 28  # the Unix file type, or 0
            budget.count()
            path = budget.path_of(member.filename, target)
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
    with _decompressed(archive) as stream:
        counted = _CountingStream(stream, budget)
        # As a stream, in which tarfile never seeks back.
        with tarfile.open(fileobj=cast("IO[bytes]", counted), mode="r|") as opened:
            _unpack_members(opened, counted, target)


def _unpack_members(opened: tarfile.TarFile, counted: "_CountingStream", target: Path) -> None:
    budget = counted.budget
    archive = budget.name
    while (member := counted.header(opened.next)) is not None:
        opened.members = []  # type: ignore[attr-defined] # the members read so far, which are not needed again
        budget.count()
        if len(opened.pax_headers) > _MAX_GLOBAL_KEYS:
            raise ArchiveError(f"archive {archive} sets more than {_MAX_GLOBAL_KEYS} keys for all of its members")
        if member.name.strip("./") == "" and member.isdir():
            continue  # the first member of `tar -C folder .`
        path = budget.path_of(member.name, target)
        if member.isdir():
            _make_folder(path, target, budget)
            continue
        source = opened.extractfile(member) if member.isreg() else None
        if source is None:
            what = "link" if member.issym() or member.islnk() else "device or pipe"
            raise ArchiveError(f"archive {archive} holds {member.name!r}, a {what}: only files are unpacked")
        with source:
            _write(source, path, target, budget)


class _CountingStream:
    """A stream of a tar that counts the bytes read, and those of each header separately."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.budget = budget
        self._stream = stream
        self._is_header = True  # tarfile reads the first header when it opens a stream
        self._header = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.budget.spend(read=len(data))
        self._header += len(data)
        if self._is_header and self._header > _MAX_HEADER:
            raise ArchiveError(f"archive {self.budget.name} holds a header of more than {_MAX_HEADER} bytes")
        return data

    def header(self, read: Callable[[], tarfile.TarInfo | None]) -> tarfile.TarInfo | None:
        """Read a member's header, which tarfile holds in memory as a whole."""
        self._is_header, self._header = True, 0
        member = read()
        self._is_header = False
        return member


def _decompressed(archive: Path) -> IO[bytes]:
    """Open an archive by its first bytes, not by its name."""
    with archive.open("rb") as stream:
        start = stream.read(6)
    for mark, opener in _COMPRESSED:
        if start.startswith(mark):
            return cast("IO[bytes]", opener(archive))
    return archive.open("rb")


def _make_folder(path: Path, target: Path, budget: _Budget) -> None:
    """Create a folder below `target`. No parent may be a link, as links lead to the dropped files."""
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
            budget.spend(written=len(block))
            stream.write(block)
