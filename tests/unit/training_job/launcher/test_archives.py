import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.training_job.drops import Drop
from training_job.errors import ArchiveError
from training_job.launcher import archives, data_folder, snapshot


def zipped(folder: Path, members: dict[str, bytes], name: str = "a.zip", kind: int = 0) -> Path:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            info = zipfile.ZipInfo(member)
            info.external_attr = kind << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return folder / name


def tarred(folder: Path, *members: tuple[str, bytes, bytes], name: str = "a.tar") -> Path:
    """Write a tar of (name, type, content); a link's content is where it leads."""
    mode = {".gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", ".xz": "w:xz"}.get(name[-3:], "w")
    with tarfile.open(folder / name, mode) as archive:  # type: ignore[call-overload]
        for member, kind, content in members:
            info = tarfile.TarInfo(member)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content.decode()
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return folder / name


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def unpack(data: Path) -> Path:
    names = [path.relative_to(data).as_posix() for path in sorted(data.rglob("*")) if path.is_file()]
    files = tuple(snapshot.File(name=name, size=(data / name).stat().st_size, md5=None) for name in names)
    dropped = snapshot.Snapshot(folder=data.parent / "snapshot", scripts=(), data=files)
    return data_folder.prepare(dropped, data, data.parent / "shown")


def test_a_compressed_file_is_no_archive(data: Path) -> None:
    (data / "y.csv.gz").write_bytes(b"y")
    assert [path.name for path in unpack(data).iterdir()] == ["y.csv.gz"]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "A.TGZ", "a.tar.bz2", "a.tar.xz"])
def test_a_tar_is_unpacked_where_it_lies(data: Path, name: str) -> None:
    (data / "sub").mkdir()
    (data / "plain.txt").write_bytes(b"plain")
    tarred(data / "sub", ("./", tarfile.DIRTYPE, b""), ("./k/x.txt", tarfile.REGTYPE, b"x"), name=name.lower())
    (data / "sub" / name.lower()).rename(data / "sub" / name)
    shown = unpack(data)
    assert (shown / "sub/k/x.txt").read_bytes() == b"x"
    assert (shown / "plain.txt").read_bytes() == b"plain"
    assert (shown / "sub" / name).is_file()
    assert sorted(path.name for path in (data / "sub").iterdir()) == [name]


def test_a_zip_is_unpacked_and_afresh_each_time(data: Path) -> None:
    zipped(data, {"cats/": b"", "cats/1.png": b"1", "dogs/2.png": b"2"})
    for _ in range(2):
        shown = unpack(data)
        assert (shown / "cats/1.png").read_bytes() == b"1"
        (shown / "left.txt").write_bytes(b"")
    assert (unpack(data) / "dogs/2.png").exists()
    assert not (unpack(data) / "left.txt").exists()


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "zip traversal": (lambda data: zipped(data, {"../x": b""}), "'../x', which leads out"),
    "zip absolute": (lambda data: zipped(data, {"/etc/x": b""}), "'/etc/x', which leads out"),
    "zip backslash": (lambda data: zipped(data, {"..\\x": b""}), "backslash"),
    "zip link": (lambda data: zipped(data, {"x": b"/etc/passwd"}, kind=stat.S_IFLNK), "'x', which is no file"),
    "zip device": (lambda data: zipped(data, {"x": b""}, kind=stat.S_IFCHR), "'x', which is no file"),
    "tar traversal": (lambda data: tarred(data, ("a/../../x", tarfile.REGTYPE, b"")), "leads out of its folder"),
    "tar absolute": (lambda data: tarred(data, ("/x", tarfile.REGTYPE, b"")), "'/x', which leads out"),
    "tar symbolic link": (lambda data: tarred(data, ("x", tarfile.SYMTYPE, b"/etc/passwd")), "'x', a link"),
    "tar hard link": (lambda data: tarred(data, ("x", tarfile.LNKTYPE, b"/etc/passwd")), "'x', a link"),
    "tar device": (lambda data: tarred(data, ("x", tarfile.CHRTYPE, b"")), "'x', a device or pipe"),
    "tar pipe": (lambda data: tarred(data, ("x", tarfile.FIFOTYPE, b"")), "'x', a device or pipe"),
    "twice": (
        lambda data: tarred(data, ("x", tarfile.REGTYPE, b"1"), ("x", tarfile.REGTYPE, b"2")),
        "takes the place of the file x",
    ),
    "a dropped file's name": (lambda data: zipped(data, {"kept.txt": b""}), "takes the place of the file kept.txt"),
    "below a dropped file": (lambda data: zipped(data, {"kept.txt/x": b""}), "takes the place of the file kept.txt"),
    "no zip": (lambda data: (data / "a.zip").write_bytes(b"junk"), "a.zip is damaged"),
    "no tar": (lambda data: (data / "a.tar.gz").write_bytes(b"junk"), "a.tar.gz is damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_by_name(data: Path, name: str) -> None:
    make, message = HOSTILE[name]
    (data / "kept.txt").write_bytes(b"kept")
    make(data)
    with pytest.raises(ArchiveError) as raised:
        unpack(data)
    assert message in str(raised.value)
    assert "archive a." in str(raised.value)
    assert (data / "kept.txt").read_bytes() == b"kept"
    assert not (data.parent / "x").exists()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_cut_off_archive_is_refused(data: Path, kind: str) -> None:
    content = bytes(range(256)) * 50
    path = (
        zipped(data, {"x": content})
        if kind == "zip"
        else tarred(data, ("x", tarfile.REGTYPE, content), name="a.tar.gz")
    )
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ArchiveError, match="is damaged"):
        unpack(data)


def test_a_bomb_is_refused_by_what_it_writes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    zipped(data, {f"{number}": bytes(1 << 20) for number in range(8)})
    with pytest.raises(ArchiveError, match=r"a.zip unpacks to more than \d+ bytes"):
        unpack(data)


def test_too_many_members_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    zipped(data, {f"{number}": b"" for number in range(4)})
    with pytest.raises(ArchiveError, match="more than 3 members"):
        unpack(data)


def test_members_without_a_file_count_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    tarred(data, *(("./", tarfile.DIRTYPE, b"") for _ in range(4)))
    with pytest.raises(ArchiveError, match="more than 3 members"):
        unpack(data)


HEADERS: dict[str, dict[str, dict[str, str]]] = {
    "a comment of the first": {"0": {"comment": "x" * (32 << 20)}},
    "a comment of the last": {"0": {}, "1": {"comment": "x" * (32 << 20)}},
    "a name": {"0/" + "x" * (32 << 20): {}},
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_not_read_whole_where_it_is_too_long(data: Path, kind: str, form: int) -> None:
    with tarfile.open(data / "a.tar.gz", "w:gz", format=form) as archive:
        for name, headers in HEADERS[kind].items():
            info = tarfile.TarInfo(name)
            info.pax_headers = headers
            archive.addfile(info)
    if form == tarfile.GNU_FORMAT and kind != "a name":
        assert (unpack(data) / "0").is_file()  # this form has no comments
        return
    tracemalloc.start()
    with pytest.raises(ArchiveError, match=r"a\.tar\.gz holds a header of more than 262144 bytes"):
        unpack(data)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_header_for_all_members_does_not_grow_without_end(data: Path) -> None:
    with tarfile.open(data / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(20):
            keys = {f"KEDJA.{number}.{index}": "x" for index in range(10)}
            archive.fileobj.write(tarfile.TarInfo.create_pax_global_header(keys))
            archive.addfile(tarfile.TarInfo(f"{number}"))
    with pytest.raises(ArchiveError, match=r"a\.tar sets more than 100 keys"):
        unpack(data)


def test_what_is_read_of_a_tar_counts_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    tarred(data, *((f"{number}/", tarfile.DIRTYPE, b"") for number in range(10_000)), name="a.tar.xz")
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        unpack(data)


def test_a_tar_is_read_by_what_it_is(data: Path) -> None:
    tarred(data, ("x", tarfile.REGTYPE, b"x"), name="a.tar.gz").rename(data / "a.tar")
    assert (unpack(data) / "x").read_bytes() == b"x"


def test_more_than_the_disk_holds_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_DISK_SHARE", 0.0)
    zipped(data, {"x": b"1"})
    with pytest.raises(ArchiveError, match="what the disk holds"):
        unpack(data)


def test_an_encrypted_zip_is_refused(data: Path) -> None:
    content = bytearray(zipped(data, {"x": b"1"}).read_bytes())
    content[6] |= 1  # the flags of the local header, and
    content[content.index(b"PK\1\2") + 8] |= 1  # of the central directory
    (data / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="is encrypted: 'x'"):
        unpack(data)


def test_a_job_sees_unpacked_data_wherever_it_is_named(drop: Drop) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/x.txt", "unpacked")
    drop.data = {"d.zip": buffer.getvalue()}
    drop.scripts = {
        "train.py": """
            import os, sys
            for folder in (os.environ["KEDJA_DATA"], sys.argv[1].partition("=")[2], sys.argv[2]):
                print(open(folder + "/a/x.txt").read(), os.path.isfile(folder + "/d.zip"))
            """
    }
    data = str(drop.data_folder)
    ended = drop.launch("python", "train.py", f"--data={data}", data)
    assert ended.output.split("\n")[:3] == ["unpacked True"] * 3, ended.errors
    assert ended.manifest["result"] == "completed"
    assert drop.launch(shell=f"cat '{data}/a/x.txt'").output == "unpacked"  # noqa: S604 - not subprocess's


def test_a_job_with_a_hostile_archive_is_refused(drop: Drop) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../x.txt", "")
    drop.data = {"d.zip": buffer.getvalue()}
    drop.scripts = {"train.py": "print('ran')"}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.output, ended.files) == (65, "", [])
    assert ended.manifest["result"] == "refused"
    assert ended.manifest["reason"] == "archive d.zip holds '../x.txt', which leads out of its folder"
