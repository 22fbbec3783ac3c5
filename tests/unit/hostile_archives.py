"""Archives that somebody made to do harm, and honest ones."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tbz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".txz": lzma.compress,
}


def zipped(files: Iterable[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these files. Names are written as they are given."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files:
            member = zipfile.ZipInfo(name)
            member.compress_type = method
            archive.writestr(member, content)
    return stream.getvalue()


def zipped_as(mode: int, name: str = "link.py", content: bytes = b"/etc/passwd") -> bytes:
    """Return a zip of one member that says it is of another kind than a file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.create_system = 3
        member.external_attr = (mode | 0o777) << 16
        archive.writestr(member, content)
    return stream.getvalue()


def patched(data: bytes, offsets: Mapping[bytes, tuple[int, bytes]]) -> bytes:
    """Return the zip with bytes behind each signature of its headers changed."""
    changed = bytearray(data)
    for signature, (offset, new) in offsets.items():
        start = changed.find(signature)
        changed[start + offset : start + offset + len(new)] = new
    return bytes(changed)


def encrypted(data: bytes) -> bytes:
    """Return the zip with its first member marked as encrypted."""
    return patched(data, {b"PK\3\4": (6, b"\1\0"), b"PK\1\2": (8, b"\1\0")})


def lying_about_size(data: bytes) -> bytes:
    """Return the zip with its first member said to have one byte."""
    return patched(data, {b"PK\3\4": (22, struct.pack("<I", 1)), b"PK\1\2": (24, struct.pack("<I", 1))})


def overlapping() -> bytes:
    """Return a zip whose two members are the same bytes, as those of a bomb that overlaps itself."""
    data = bytearray(zipped([("a.py", b"a" * 5000), ("b.py", b"a" * 5000)]))
    first = data.find(b"PK\1\2")
    second = data.find(b"PK\1\2", first + 1)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


def tarred(members: Iterable[tuple[str, bytes] | tarfile.TarInfo], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of these files and members without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def special(kind: bytes, name: str = "harm.py", target: str = "", size: int = 0) -> tarfile.TarInfo:
    """Return a member of a tar that is no file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    info.size = size
    return info


def with_size(size: bytes) -> bytes:
    """Return a tar whose only header has these 12 bytes for its size, and a sum that is right."""
    data = bytearray(tarred([("a.py", b"")]))
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


NEGATIVE_SIZE = b"\xff" * 10 + b"\xfe\x00"
"""-512, in tar's base-256."""


def sparse() -> bytes:
    """Return a tar of a sparse file that says it has eight gigabytes."""
    info = tarfile.TarInfo("a.py")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0,8589934592,0"}
    info.pax_headers |= {"GNU.sparse.size": "8589934592", "GNU.sparse.name": "a.py"}
    return tarred([info])


def hungry_xz() -> bytes:
    """Return an xz that asks for 1.5 GiB of memory to be unpacked."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    data = bytearray(lzma.compress(tarred([("train.py", b"pass")]), filters=filters))
    # Block header: size, flags, filter id, size of its properties, dictionary size (40 is 4 GiB - 1); then a CRC.
    start = 12
    length = (data[start] + 1) * 4
    data[start + 4] = 40
    header = bytes(data[start : start + length - 4])
    data[start + length - 4 : start + length] = struct.pack("<I", zlib.crc32(header))
    return bytes(data)
