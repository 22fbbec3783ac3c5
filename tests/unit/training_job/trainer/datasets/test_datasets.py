import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training_job.errors import DatasetError
from training_job.trainer.datasets.arrays import Pair, build
from training_job.trainer.datasets.finder import load
from training_job.trainer.datasets.table import Choice, hold_out
from training_job.trainer.preprocessing import choose_preprocessor


def table_of(count: int = 20, classes: int = 2) -> tuple[Any, Any]:
    return np.arange(count * 3, dtype=np.float32).reshape(count, 3), np.arange(count) % classes


def save_npz(folder: Path, name: str = "data.npz", **arrays: Any) -> Path:  # noqa: ANN401 - arrays
    path = folder / name
    np.savez(path, **arrays)
    return path


def idx(array: Any, kind: int = 8) -> bytes:  # noqa: ANN401 - an array
    content: bytes = array.tobytes()
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + content


def save_idx(folder: Path, part: str, count: int, *, packed: bool) -> None:
    x: Any = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
    y: Any = (np.arange(count) % 2).astype(np.uint8)
    for name, array in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
        content = idx(array)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content)) if packed else (folder / name).write_bytes(content)


def test_an_archive_is_split_by_class(tmp_path: Path) -> None:
    x, y = table_of(50, 5)
    save_npz(tmp_path, x=x, y=y)
    split = load(tmp_path)
    assert (split.train.x.shape, split.train.x.dtype, split.train.y.dtype) == ((40, 3), np.float32, np.int32)
    assert split.train.classes == ("0", "1", "2", "3", "4")
    assert np.bincount(split.held_out.y).tolist() == [2] * 5
    seen = np.concatenate([split.train.x, split.held_out.x])
    assert sorted(seen[:, 0].tolist()) == x[:, 0].tolist()


def test_the_split_is_the_same_for_a_seed(tmp_path: Path) -> None:
    x, y = table_of(50, 5)
    save_npz(tmp_path, x=x, y=y)
    first, same, other = (load(tmp_path, seed=seed).held_out.x.tolist() for seed in (1, 1, 2))
    assert first == same
    assert first != other


@pytest.mark.parametrize("names", [("x", "y"), ("x_train", "y_train")])
def test_test_data_of_an_archive_is_held_out(tmp_path: Path, names: tuple[str, str]) -> None:
    x, y = table_of()
    save_npz(tmp_path, **{names[0]: x, names[1]: y, "x_test": x[:5], "y_test": y[:5]})
    split = load(tmp_path)
    assert (len(split.train), len(split.held_out)) == (20, 5)


def test_a_file_is_as_good_as_its_folder(tmp_path: Path) -> None:
    x, y = table_of()
    assert len(load(save_npz(tmp_path, x=x, y=y)).train) == 16


def test_train_and_test_archives(tmp_path: Path) -> None:
    x, y = table_of()
    save_npz(tmp_path, "train.npz", x=x, y=y)
    save_npz(tmp_path, "test.npz", x=x[:4], y=y[:4])
    split = load(tmp_path)
    assert (len(split.train), len(split.held_out)) == (20, 4)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_pairs(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001 - a parameter
    save_idx(tmp_path, "train", 10, packed=packed)
    save_idx(tmp_path, "t10k", 4, packed=packed)
    split = load(tmp_path)
    assert (split.train.x.shape, split.train.x.dtype, split.held_out.x.shape) == ((10, 2, 3), np.uint8, (4, 2, 3))
    assert split.train.x[1].tolist() == [[6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize("packed", [False, True])
def test_csv(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001 - a parameter
    text = "a,b,label\r\n" + "".join(f"{i},{i / 2},{i % 2}\r\n" for i in range(10))
    path = tmp_path / ("data.csv.gz" if packed else "data.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    split = load(tmp_path)
    assert (split.train.x.shape, split.held_out.x.shape) == ((8, 2), (2, 2))


def test_csv_with_class_names(tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text("a,kind\n" + "1,setosa\n2,virginica\n" * 5)
    split = load(tmp_path)
    assert split.train.classes == ("setosa", "virginica")
    assert set(split.train.x[split.train.y == 1].ravel().tolist()) == {1.0}  # 1 and 2 have mean 1.5, deviation 0.5


def save_pictures(folder: Path, mode: str = "L", size: tuple[int, int] = (4, 3)) -> None:
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(5):
            Image.new(mode, size, 100 * label if mode == "L" else (100 * label, 0, 0)).save(
                folder / name / f"{index}.png"
            )


@pytest.mark.parametrize(("mode", "shape"), [("L", (3, 4)), ("RGB", (3, 3, 4))])
def test_folders_of_pictures(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    save_pictures(tmp_path, mode)
    (tmp_path / "_SUCCESS").touch()
    split = load(tmp_path)
    assert (split.train.classes, split.train.x.shape) == (("cat", "dog"), (8, *shape))
    assert split.train.x[split.train.y == 1].max() == 100


def test_folders_of_pictures_to_train_and_to_test(tmp_path: Path) -> None:
    save_pictures(tmp_path / "train")
    save_pictures(tmp_path / "test")
    split = load(tmp_path)
    assert (len(split.train), len(split.held_out)) == (10, 10)


@pytest.mark.parametrize("gap", [False, True])
def test_large_numbers_that_differ_little_stay_different(gap: bool) -> None:  # noqa: FBT001 - a parameter
    x = np.stack([1e12 + np.arange(40) % 2, np.arange(40) % 5], axis=1)
    x[0, 1] = np.nan if gap else 0
    dataset = build(Pair(x=x, y=np.arange(40) % 2, source="x.npz"), Choice())
    prepared = choose_preprocessor(dataset.train.x, is_encoded=dataset.is_encoded).prepare(dataset.train.x)
    assert prepared[:, 0].tolist() == [-1, 1] * 20


def test_pictures_with_channels_last_are_turned() -> None:
    dataset = build(Pair(x=np.zeros((4, 8, 6, 3), np.uint8), y=[0, 1, 0, 1], source="x.npz"), Choice())
    assert dataset.train.x.shape == (4, 3, 8, 6)


X, Y = table_of(8)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_archive(tmp_path: Path, cut: float) -> None:
    path = save_npz(tmp_path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(DatasetError, match=r"data\.npz is no \.npz archive, or is truncated"):
        load(tmp_path)


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = save_npz(tmp_path, x=np.zeros((100, 100)), y=np.arange(100) % 2)
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"'x' of data\.npz is damaged or truncated"):
        load(tmp_path)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return exec, ("raise SystemExit('it was run')",)

    save_npz(tmp_path, x=np.array([Bomb()]), y=[0])
    with pytest.raises(DatasetError, match="never loaded"):
        load(tmp_path)


def test_a_truncated_picture(tmp_path: Path) -> None:
    save_pictures(tmp_path, size=(40, 30))
    path = tmp_path / "dog/0.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"dog/0\.png cannot be read as a picture"):
        load(tmp_path)


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        load(tmp_path / "no")


def test_a_small_class_is_held_out_too() -> None:
    split = hold_out(build(Pair(x=np.zeros((12, 1)), y=[0] * 10 + [1] * 2, source="x"), Choice()).train)
    assert np.bincount(split.held_out.y).tolist() == [2, 1]


def test_data_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (4, 3), number).save(tmp_path / "pictures" / name / f"{number}.png")
    assert load(tmp_path).train.classes == ("a", "b")


def test_a_folder_of_pictures_alone_is_one_class(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "a" / "0.png")
    with pytest.raises(DatasetError, match="holds one class only"):
        load(tmp_path)


def test_bytes_to_train_on_and_fractions_to_test_with(tmp_path: Path) -> None:
    x, y = np.zeros((4, 3, 3)), [0, 0, 1, 1]
    np.savez(tmp_path / "digits.npz", x_train=x.astype(np.uint8), y_train=y, x_test=x.astype(np.float32), y_test=y)
    with pytest.raises(DatasetError, match=r"float32 and .* uint8: make them alike"):
        load(tmp_path)
