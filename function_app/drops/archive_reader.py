"""Read dropped archives in bounded memory; every archive may be hostile.

Only complete regular files are extracted, of bounded size and with a name inside of their folder. Limits count the
bytes actually read, since the sizes in an archive can be false. The error names the first member that is refused.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol, cast

from attrs import define

from function_app.domain import naming
from function_app.drops.path_rules import path_error
from function_app.errors import Invalid

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LARGEST = 20 << 20
"""Max bytes of an archive, and of a file in it."""
MOST_BYTES = 100 << 20
"""Max bytes that an archive may unpack to."""
MOST_RATIO = 100
FREE_BYTES = 8 << 20
"""An archive may unpack to MOST_RATIO times its own size, and to this much in any case."""
MOST_FILES = 1000
MOST_MEMBERS = 20_000
"""Max files and folders, including ignored ones such as .git/."""
MOST_HEADER = 1 << 20
"""Max bytes of a tar between two members: tarfile keeps a member's header, with its comments, in memory."""
MOST_MEMORY = 80 << 20
"""Max bytes of memory for xz: `xz -9` needs 65 MiB, and a hostile header may request gigabytes."""

_BLOCK = 64 << 10
_DIRECTORY_ENTRY = b"PK\1\2"
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNIX_KINDS = (0, 0o04, 0o10)
"""Allowed member types in archives made on Unix: unspecified, folder, file."""
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,  # bz2 and gzip raise it; no file is read here
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
)


class ArchiveRefused(Invalid):
    """The archive is not unpacked; the message names it, the member and the reason."""


class _Source(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


@define
class _Budget:
    """The limits of an archive, and what has been read of it."""

    name: str
    most: int
    read: int = 0
    members: int = 0
    files: int = 0

    def take(self, data: bytes) -> bytes:
        self.read += len(data)
        if self.read > self.most:
            raise self.refused(
                f"it unpacks to more than {self.most} bytes (the limit is {MOST_RATIO} times its size, but at least "
                f"{FREE_BYTES} and at most {MOST_BYTES})"
            )
        return data

    def place(self, member: str) -> str | None:
        """Return the normalized path of a member, or None if it is ignored."""
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise self.refused(f"it contains more than {MOST_MEMBERS} files and folders")
        path = member.removesuffix("/")
        while path.startswith("./"):
            path = path[2:]
        if path in ("", "."):
            return None
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or path[1:2] == ":":
            raise self.refused(f"{member[:200]!r} leads out of its folder")
        if problem := path_error(path):
            raise self.refused(f"{member[:200]!r} {problem}")
        return None if naming.is_ignored(path) else path

    def content(self, member: str, source: _Source, *, counts: bool) -> bytes:
        """Return a file's bytes. `counts`: count them here, since the source does not."""
        self.files += 1
        if self.files > MOST_FILES:
            raise self.refused(f"it contains more than {MOST_FILES} files")
        content = bytearray()
        while block := source.read(_BLOCK):
            content += self.take(block) if counts else block
            if len(content) > LARGEST:
                raise self.refused(f"{member!r} has more than {LARGEST} bytes")
        return bytes(content)

    def refused(self, reason: str) -> ArchiveRefused:
        return ArchiveRefused(f"The archive {self.name} is not unpacked: {reason}.")


def is_archive(name: str) -> bool:
    """Return whether a file has the name of a supported archive."""
    return name.lower().endswith(SUFFIXES)


def iter_files(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file that is not ignored, in the archive's order.

    Raises:
        ArchiveRefused: the archive is damaged or too large, or a member is not allowed.
    """
    budget = _Budget(name=name, most=min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * len(data))))
    if len(data) > LARGEST:
        raise budget.refused(f"it has more than {LARGEST} bytes")
    with _damage(budget):
        yield from _zip_files(data, budget) if name.lower().endswith(".zip") else _tar_files(name, data, budget)


@contextmanager
def _damage(budget: _Budget) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise budget.refused(f"it is damaged, or in an unsupported format ({error})") from error


def _zip_files(data: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    # zipfile reads the whole directory at once; each of its entries begins with these bytes.
    if data.count(_DIRECTORY_ENTRY) > 2 * MOST_MEMBERS:
        raise budget.refused(f"it contains more than {MOST_MEMBERS} files and folders")
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        for member in opened.infolist():
            path = budget.place(member.orig_filename)
            if path is None or member.is_dir():
                continue
            if member.external_attr >> 28 not in _UNIX_KINDS:
                raise budget.refused(f"{path!r} is a link or a device; only regular files are allowed")
            if member.flag_bits & 1:
                raise budget.refused(f"{path!r} is encrypted")
            if member.compress_type not in _ZIP_METHODS:
                raise budget.refused(f"{path!r} uses an unsupported compression method; use deflate")
            with opened.open(member) as source:
                yield path, budget.content(path, source, counts=True)


def _tar_files(name: str, data: bytes, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    # As a stream: tarfile never seeks back, so that no header can cause a loop, and headers are counted too.
    counted = CountingStream(_unpacked(name.lower(), data), budget)
    with tarfile.open(fileobj=cast("IO[bytes]", counted), mode="r|", errors="surrogateescape") as opened:
        for member in opened:
            counted.begin(member)
            path = budget.place(member.name)
            if member.size < 0:
                raise budget.refused(f"it is damaged: {member.name[:200]!r} has a negative size")
            if path is None or member.isdir():
                continue
            if not member.isreg() or member.issparse():
                what = "a link" if member.issym() or member.islnk() else "a device, a pipe or a sparse file"
                raise budget.refused(f"{path!r} is {what}; only regular files are allowed")
            source = opened.extractfile(member)
            if source is None:
                raise budget.refused(f"{path!r} cannot be read")
            yield path, budget.content(path, source, counts=False)


class CountingStream:
    """A stream that counts the bytes read from it."""

    def __init__(self, source: _Source, budget: _Budget) -> None:
        self._source = source
        self._budget = budget
        self._left = MOST_HEADER

    def begin(self, member: tarfile.TarInfo) -> None:
        """Set the number of bytes allowed up to the end of the next member's header."""
        has_content = member.isreg() or member.type not in tarfile.SUPPORTED_TYPES
        self._left = MOST_HEADER + (member.size if has_content else 0)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end.

        Raises:
            ArchiveRefused: the archive, or a header in it, is too large.
        """
        data = self._budget.take(self._source.read(min(size, _BLOCK)))
        self._left -= len(data)
        if self._left < 0:
            raise self._budget.refused(f"a header in it has more than {MOST_HEADER} bytes")
        return data


class _Xz:
    """Unpacks xz in bounded memory, which `lzma.LZMAFile` does not support."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._unpack = lzma.LZMADecompressor(memlimit=MOST_MEMORY)

    def read(self, size: int) -> bytes:
        while not self._unpack.eof:
            data, self._data = self._data, b""
            waited = self._unpack.needs_input and not data
            if (unpacked := self._unpack.decompress(data, size)) or waited:
                return unpacked
        return b""


def _unpacked(name: str, data: bytes) -> _Source:
    if name.endswith("gz"):
        return gzip.GzipFile(fileobj=io.BytesIO(data))
    if name.endswith("bz2"):
        return bz2.BZ2File(io.BytesIO(data))
    return _Xz(data) if name.endswith("xz") else io.BytesIO(data)
