"""Archives as somebody might drop them: names that lead elsewhere, links, devices, and damage."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable

from hypothesis import strategies as st

from tests.fuzz import inputs

NAMES = [
    "a.txt",
    "b/c.txt",
    "b",
    "../x",
    "/abs",
    "a/../../x",
    "a\\b",
    ".",
    "..",
    "",
    "a//b",
    "é",
    "x" * 300,
    "a" * 5000,
]
member_names = st.one_of(st.sampled_from(NAMES), inputs.texts)
contents = st.one_of(st.binary(max_size=40), st.just(b"\0" * 100_000))


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw(st.sampled_from([0, 8, 12, 14]))) as archive:
        for name in draw(st.lists(member_names, max_size=5)):
            info = zipfile.ZipInfo("x")
            info.filename = name.encode("utf-8", "replace").decode()
            info.external_attr = draw(st.sampled_from([0, 0o100644, 0o040755, 0o120777, 0o020666, 0o010666])) << 16
            info.compress_type = archive.compression
            archive.writestr(info, draw(contents))
    return stream.getvalue()


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    stream = io.BytesIO()
    formats = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=stream, mode="w", format=draw(formats), errors="replace") as archive:
        for name in draw(st.lists(member_names, max_size=5)):
            info = tarfile.TarInfo(
                name.replace("\0", "")[:90].encode("utf-8", "replace")[:90].decode("utf-8", "replace")
            )
            data = draw(contents)
            info.type = draw(st.sampled_from([b"0", b"0", b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S"]))
            info.size, info.linkname = len(data), draw(st.sampled_from(["", "a.txt", "../x", "/etc/passwd"]))
            archive.addfile(info, io.BytesIO(data))
    packed: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress}
    packed["xz"] = lzma.compress
    return packed[draw(st.sampled_from(sorted(packed)))](stream.getvalue())


archive_bytes = st.one_of(zips(), tars(), inputs.corrupted(zips()), inputs.corrupted(tars()), st.binary(max_size=600))
