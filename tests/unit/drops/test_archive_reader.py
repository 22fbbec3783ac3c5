"""Hostile archives, each refused by name with a reason; honest ones of each kind, read."""

import functools
import gzip
import lzma
import random
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from function_app.drops import archive_reader
from function_app.drops.archive_reader import ArchiveRefused, iter_files
from tests.unit.hostile_archives import (
    COMPRESSIONS,
    NEGATIVE_SIZE,
    encrypted,
    hungry_xz,
    lying_about_size,
    overlapping,
    sparse,
    special,
    tarred,
    with_size,
    zipped,
    zipped_as,
)

MIB = 1 << 20
ONE = [("train.py", b"print('trained')")]
NAMES = {
    "up": ("../train.py", "leads out of its folder"),
    "up and down": ("a/../../train.py", "leads out of its folder"),
    "absolute": ("/etc/cron.d/train.py", "leads out of its folder"),
    "a drive": ("C:/train.py", "leads out of its folder"),
    "a drive's way up": ("C:..\\train.py", "leads out of its folder"),
    "backslashes": ("..\\..\\train.py", "a backslash"),
    "a line break": ("train\n.py", "a line break"),
    "an escape": ("\x1b[2Jtrain.py", "a control character"),
    "turned text": ("\u202eyp.niart", "changes the text direction"),
    "an empty part": ("a//train.py", "an empty part"),
    "a part too long": (f"{'ä' * 128}/train.py", "more than 255 bytes"),
    "a dot at the end": ("a./train.py", "ends with a dot"),
}
NOISE = random.Random(1).randbytes  # noqa: S311 - repeatable on purpose

HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    **{
        f"{name} in a zip": ("a.zip", functools.partial(zipped, [(path, b"x")]), why)
        for name, (path, why) in NAMES.items()
    },
    **{
        f"{name} in a tar": ("a.tar", functools.partial(tarred, [(path, b"x")]), why)
        for name, (path, why) in NAMES.items()
    },
    "a NUL in a zip": ("a.zip", lambda: zipped([("train.pyX", b"x")]).replace(b"train.pyX", b"train.p\0X"), "control"),
    "a link in a zip": ("a.zip", lambda: zipped_as(stat.S_IFLNK), "'link.py' is a link or a device"),
    "a device in a zip": ("a.zip", lambda: zipped_as(stat.S_IFBLK), "'link.py' is a link or a device"),
    "a pipe in a zip": ("a.zip", lambda: zipped_as(stat.S_IFIFO), "'link.py' is a link or a device"),
    "a socket in a zip": ("a.zip", lambda: zipped_as(stat.S_IFSOCK), "'link.py' is a link or a device"),
    "a symbolic link": (
        "a.tar",
        lambda: tarred([special(tarfile.SYMTYPE, target="/etc/passwd")]),
        "'harm.py' is a link",
    ),
    "a hard link": (
        "a.tar",
        lambda: tarred([*ONE, special(tarfile.LNKTYPE, target="train.py")]),
        "'harm.py' is a link",
    ),
    "a pipe": ("a.tar", lambda: tarred([special(tarfile.FIFOTYPE)]), "'harm.py' is a device, a pipe"),
    "a character device": ("a.tar", lambda: tarred([special(tarfile.CHRTYPE)]), "'harm.py' is a device"),
    "a block device": ("a.tar", lambda: tarred([special(tarfile.BLKTYPE)]), "'harm.py' is a device"),
    "a kind of its own": ("a.tar", lambda: tarred([special(b"Z")]), "'harm.py' cannot be read|is damaged|is a device"),
    "a sparse file": ("a.tar", sparse, "a sparse file"),
    "an encrypted member": ("a.zip", lambda: encrypted(zipped(ONE)), "'train.py' is encrypted"),
    "lzma in a zip": ("a.zip", lambda: zipped(ONE, method=zipfile.ZIP_LZMA), "an unsupported compression method"),
    "bzip2 in a zip": ("a.zip", lambda: zipped(ONE, method=zipfile.ZIP_BZIP2), "an unsupported compression method"),
    "a bomb in a zip": ("a.zip", lambda: zipped([("a.py", bytes(15 * MIB))]), "unpacks to more than 8388608 bytes"),
    "a bomb of many files": (
        "a.zip",
        lambda: zipped((f"{i}.py", bytes(MIB)) for i in range(9)),
        "more than 8388608 bytes",
    ),
    "a bomb in a tar.gz": ("a.tgz", lambda: gzip.compress(tarred([("a.py", bytes(15 * MIB))])), "more than 8388608"),
    "a bomb in a tar.xz": ("a.txz", lambda: lzma.compress(tarred([("a.py", bytes(15 * MIB))])), "more than 8388608"),
    "a bomb in a header": (
        "a.tgz",
        lambda: gzip.compress(tarred([("n" * (15 * MIB), b"x")], form=tarfile.GNU_FORMAT)),
        "a header in it has more than 1048576 bytes",
    ),
    "a bomb in the header behind a hidden file": (
        "a.tgz",
        lambda: gzip.compress(tarred([(".git/x", bytes(2 * MIB)), ("n" * (2 * MIB), b"x")])),
        "a header in it has more than 1048576 bytes",
    ),
    "a bomb in the header behind a folder that claims a size": (
        "a.tgz",
        lambda: gzip.compress(tarred([special(tarfile.DIRTYPE, "a", size=100 * MIB), ("n" * (2 * MIB), b"x")])),
        "a header in it has more than 1048576 bytes",
    ),
    "a bomb in what is ignored": (
        "a.tgz",
        lambda: gzip.compress(tarred([(".git/objects", bytes(15 * MIB)), *ONE])),
        "more than 8388608 bytes",
    ),
    "an xz that wants memory": ("a.tar.xz", hungry_xz, "is damaged, or in an unsupported format"),
    "members that overlap": ("a.zip", overlapping, "is damaged"),
    "a size that lies": ("a.zip", lambda: lying_about_size(zipped(ONE)), "is damaged"),
    "a negative size": ("a.tar", lambda: with_size(NEGATIVE_SIZE), "is damaged"),
    "a size of petabytes": ("a.tar", lambda: with_size(b"\x80" + b"\0" * 4 + b"\x7f" * 7), "is damaged|more than"),
    "a size that is no number": ("a.tar", lambda: with_size(b"zzzzzzzzzzzz"), "is damaged"),
    "too many files": ("a.zip", lambda: zipped((f"{i}.py", b"") for i in range(1001)), "more than 1000 files"),
    "too many files in a tar": ("a.tar", lambda: tarred((f"{i}.py", b"") for i in range(1001)), "more than 1000 files"),
    "too many hidden files": ("a.zip", lambda: zipped((f".git/{i}", b"") for i in range(20_001)), "more than 20000"),
    "a directory without end": ("a.zip", lambda: b"PK\1\2" * 40_001, "more than 20000"),
    "a file too large": (
        "a.zip",
        lambda: zipped([("a.py", NOISE(MIB) * 21)], method=zipfile.ZIP_STORED),
        "it has more than",
    ),
    "cut off": ("a.zip", lambda: zipped(ONE)[:-30], "is damaged"),
    "cut off in a tar.gz": ("a.tgz", lambda: gzip.compress(tarred(ONE))[:-20], "is damaged"),
    "cut off in a tar.xz": ("a.txz", lambda: lzma.compress(tarred(ONE))[:60], "is damaged"),
    "empty": ("a.zip", bytes, "is damaged"),
    "no zip": ("a.zip", lambda: b"print('trained')", "is damaged"),
    "no tar": ("a.tar", lambda: b"print('trained')" * 100, "is damaged"),
    "no gzip": ("a.tar.gz", lambda: tarred(ONE), "is damaged"),
    "a changed byte": (
        "a.zip",
        lambda: zipped(ONE, method=zipfile.ZIP_STORED).replace(b"trained", b"trainee"),
        "is damaged",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_by_name_with_a_reason(name: str) -> None:
    archive, make, why = HOSTILE[name]
    with pytest.raises(ArchiveRefused, match=f"^The archive {archive} is not unpacked: .*({why})"):
        list(iter_files(archive, make()))


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_each_kind_of_tar_is_read(suffix: str) -> None:
    members = [("train.py", b"print(1)"), ("lib/å b#%&.py", b"pass")]
    data = tarred([*members, special(tarfile.DIRTYPE, "empty")])
    assert list(iter_files(f"code{suffix}", COMPRESSIONS[suffix](data))) == members


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_writer_are_read(form: int) -> None:
    path = f"{'folder/' * 12}{'name' * 20}.py"
    assert list(iter_files("code.tar", tarred([(path, b"x")], form=form))) == [(path, b"x")]


def test_a_zip_is_read_without_what_nobody_means_to_drop() -> None:
    members = [("train.py", b"1"), ("__MACOSX/._train.py", b"2"), (".git/HEAD", b"3"), ("a/__pycache__/b.pyc", b"4")]
    assert list(iter_files("Code.ZIP", zipped([("folder/", b""), ("./lib/x.py", b"5"), *members]))) == [
        ("lib/x.py", b"5"),
        ("train.py", b"1"),
    ]


def test_xz_in_several_pieces_of_any_size() -> None:
    content = NOISE(300_000)
    data = lzma.compress(tarred([("a.py", content), ("b.py", bytes(2 * MIB))]))
    assert [len(content) for _, content in iter_files("a.tar.xz", data)] == [300_000, 2 * MIB]


def test_what_is_read_stays_within_its_memory() -> None:
    content = NOISE(19 * MIB)
    data = zipped([("a.bin", content)], method=zipfile.ZIP_STORED)
    bomb = gzip.compress(tarred([("a.py", bytes(60 * MIB))]))
    del content
    tracemalloc.start()
    try:
        assert [len(content) for _, content in iter_files("a.zip", data)] == [19 * MIB]
        with pytest.raises(ArchiveRefused):
            list(iter_files("a.tgz", bomb))
        assert tracemalloc.get_traced_memory()[1] < 3 * archive_reader.LARGEST
    finally:
        tracemalloc.stop()
