"""What a training job reads of the drop: archives and data sets. Each is read, or refused by the job's own error."""

import csv
import gzip
import io
import itertools
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz import inputs
from tests.fuzz.archive_inputs import archive_bytes
from tests.fuzz.array_inputs import npy_arrays, saved
from tests.fuzz.budget import fuzz, outcome
from training_job.errors import ArchiveError, DatasetError
from training_job.launcher import archives, data_folder, snapshot
from training_job.trainer.datasets.finder import load
from training_job.trainer.datasets.task import Task

# A warning of NumPy's or Pillow's about hostile data is a line in the job's log, and no crash.
pytestmark = pytest.mark.filterwarnings("ignore")

Files = dict[str, bytes]


def written(folder: Path, files: Files) -> Path:
    """Return the folder with these files in it and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_dropped_archives(tmp_path: Path) -> None:
    """Nothing is written beside the folder, and no link leads anywhere but to a dropped file."""
    data, target = tmp_path / "data", tmp_path / "target"

    def check(drop: tuple[str, bytes, Files]) -> None:
        suffix, archive, others = drop
        written(data, {f"drop{suffix}": archive, **others})
        before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        names = [path.relative_to(data).as_posix() for path in before]
        files = tuple(snapshot.File(name=name, size=0, md5=None) for name in sorted(names))
        dropped = snapshot.Snapshot(folder=data, scripts=(), data=files)
        folder = outcome(ArchiveError, lambda: data_folder.prepare(dropped, data, target))
        if isinstance(folder, ArchiveError):
            assert len(str(folder)) < 20_000
        else:
            assert folder == target
            assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= archives.FREE_BYTES * 2
        assert sorted(path.name for path in tmp_path.iterdir()) in (["data"], ["data", "target"])
        assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
        for path in target.rglob("*"):
            assert not path.is_symlink() or path.readlink() in before
            assert path.is_file() or path.is_dir()
        shutil.rmtree(target, ignore_errors=True)

    others = st.dictionaries(st.sampled_from(["a.txt", "c/d.txt"]), st.binary(max_size=5), max_size=2)
    fuzz("dropped archives", st.tuples(st.sampled_from(archives.SUFFIXES), archive_bytes, others), check)


def loaded(folder: Path) -> Callable[[Files], None]:
    """Return a check that files of a drop can be loaded or are refused, and what is loaded is right."""

    def check(files: Files) -> None:
        split = outcome(DatasetError, lambda: load(written(folder / "data", files)))
        if isinstance(split, DatasetError):
            assert "\n" not in str(split)
            assert len(str(split)) < 2000
            return
        for table in (split.train, split.held_out):
            assert len(table.x) == len(table.y) > 0
            assert np.isfinite(table.x).all()
            if table.task is Task.CLASSIFICATION:
                assert 0 <= table.y.min() <= table.y.max() < len(table.classes)
            else:
                assert np.isfinite(table.y).all()

    return check


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def test_idx(tmp_path: Path) -> None:
    @st.composite
    def idx(draw: st.DrawFn, count: int) -> bytes:
        shape = [count, *draw(st.lists(st.sampled_from([0, 1, 2, 1 << 16, 0xFFFFFFFF]), max_size=3))]
        size = int(np.prod([min(side, 4) for side in shape]))
        kind = draw(st.sampled_from([8, 8, 9, 11, 12, 13, 14, 7]))
        header = struct.pack(f">HBB{len(shape)}I", 0, kind, draw(st.sampled_from([len(shape)] * 5 + [255])), *shape)
        return header + draw(st.binary(min_size=size, max_size=size * 8))

    @st.composite
    def pairs(draw: st.DrawFn) -> Files:
        count = draw(st.integers(0, 6))
        images = struct.pack(">IIII", 0x803, count, 2, 2) + draw(st.binary(min_size=4 * count, max_size=4 * count))
        labels = struct.pack(">II", 0x801, count) + bytes(draw(st.lists(st.integers(0, 3), min_size=count, max_size=6)))
        wild = draw(st.booleans())
        files = {
            "train-images-idx3-ubyte": draw(idx(count)) if wild else images,
            "train-labels-idx1-ubyte": draw(idx(count)) if draw(st.booleans()) and wild else labels,
        }
        if draw(st.booleans()):
            files |= {name.replace("train", "t10k"): data for name, data in files.items()}
        change = draw(st.sampled_from(["none", "corrupt", "gzip", "corrupt gzip"]))
        if "gzip" in change:
            files = {f"{name}.gz": gzipped(data) for name, data in files.items()}
        if "corrupt" in change:
            files = {name: draw(inputs.corrupted(st.just(data))) for name, data in files.items()}
        return files

    fuzz("IDX", pairs(), loaded(tmp_path))


def test_csv(tmp_path: Path) -> None:
    cells = st.one_of(
        st.integers(-3, 3).map(str),
        st.floats().map(str),
        st.sampled_from(
            ["", '"', "a,b", "nan", "1e999", "0x1", "1_0", "\uff11", "\0", "#", "\r", "-0", "1j", "9" * 5000]
        ),
        inputs.texts,
    )

    @st.composite
    def tables(draw: st.DrawFn) -> bytes:
        width, stream = draw(st.integers(1, 4)), io.StringIO()
        wild = draw(st.booleans())
        writer = csv.writer(stream, lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])))
        writer.writerow([f"c{number}" for number in range(width)])
        for _ in range(draw(st.integers(0, 6))):
            plain = [str(draw(st.integers(0, 2))) for _ in range(width)]
            writer.writerow([draw(cells) for _ in range(draw(st.integers(0, 5)))] if wild else plain)
        text = stream.getvalue()
        return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"])), "replace")

    one = st.one_of(tables(), inputs.corrupted(tables()))
    files = st.one_of(
        one.map(lambda data: {"a.csv": data}),
        st.tuples(one, one).map(lambda both: {"train.csv": both[0], "test.csv": both[1]}),
        one.map(gzipped).map(lambda data: {"a.csv.gz": data}),
        inputs.corrupted(one.map(gzipped)).map(lambda data: {"a.csv.gz": data}),
    )
    fuzz("CSV", files, loaded(tmp_path))


def test_npz(tmp_path: Path) -> None:
    member = st.sampled_from(
        ["x.npy", "y.npy", "x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy", "x", "../x.npy"]
    )
    fine = {"x.npy": saved(np.arange(8.0).reshape(4, 2)), "y.npy": saved(np.array([0, 1, 0, 1]))}

    @st.composite
    def packed(draw: st.DrawFn) -> Files:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", draw(st.sampled_from([0, 8]))) as archive:
            for name, data in {**fine, **draw(st.dictionaries(member, npy_arrays, max_size=3))}.items():
                archive.writestr(name, data)
        data = stream.getvalue()
        return {"a.npz": draw(inputs.corrupted(st.just(data))) if draw(st.booleans()) else data}

    fuzz("npz", packed(), loaded(tmp_path))


def test_pictures(tmp_path: Path) -> None:
    formats = ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"]
    suffixes = [".png", ".jpg", ".bmp", ".gif", ".tif", ".webp", ".ppm", ".pgm"]
    images: dict[tuple[str, str], bytes] = {}
    for mode, kind in itertools.product(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"], formats):
        stream = io.BytesIO()
        try:
            Image.new(mode, (3, 2)).save(stream, kind)
        except (OSError, ValueError, KeyError):
            continue  # a format that has no such mode
        images[mode, kind] = stream.getvalue()
    assert len(images) > 20
    whole = st.sampled_from(sorted(images.values()))
    picture = st.one_of(whole, inputs.corrupted(whole), st.binary(max_size=200))

    @st.composite
    def folders(draw: st.DrawFn) -> Files:
        good = draw(whole)
        return {
            f"{part}{label}/{number}{draw(st.sampled_from(suffixes))}": draw(picture) if draw(st.booleans()) else good
            for part in draw(st.sampled_from([[""], ["train/", "test/"], ["train/"]]))
            for label in "ab"
            for number in range(draw(st.integers(1, 2)))
        }

    fuzz("pictures", folders(), loaded(tmp_path))
