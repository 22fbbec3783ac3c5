"""`get_mnist()` and similar functions, in a job with dropped data. Unit tests have no network."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.drops import Drop
from training_job.errors import DatasetError
from training_job.hooks.dataset_hooks import _load


def npz(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def idx(array: Any) -> bytes:  # noqa: ANN401 - an array
    content: bytes = array.tobytes()
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + content


X: Any = np.random.default_rng(0).integers(0, 256, (50, 784), dtype=np.uint8)
Y: Any = (np.arange(50) % 10).astype(np.uint8)
WHOLE = {
    "one npz": {"digits.npz": npz(x=X, y=Y)},
    "Keras' npz": {"mnist.npz": npz(x_train=X, y_train=Y, x_test=X[:10], y_test=Y[:10])},
    "numbers from 0 to 1": {"digits.npz": npz(x=X / 255, y=Y)},
    "IDX": {
        "train-images-idx3-ubyte": idx(X.reshape(50, 28, 28)),
        "train-labels-idx1-ubyte": idx(Y),
        "t10k-images-idx3-ubyte": idx(X[:10].reshape(10, 28, 28)),
        "t10k-labels-idx1-ubyte": idx(Y[:10]),
    },
    "Chainer's layout": {
        "pfnet/chainer/mnist/train.npz": npz(x=X[:40], y=Y[:40]),
        "pfnet/chainer/mnist/test.npz": npz(x=X[40:], y=Y[40:]),
    },
}
MNIST = """
    import chainer
    train, test = chainer.datasets.get_mnist()
    print(len(train), len(test), train[0][0].shape, train[0][0].dtype, train[0][0].max() > 0.9, train[0][1].dtype)
    """


@pytest.mark.parametrize("name", WHOLE)
def test_mnist_is_what_was_dropped(drop: Drop, name: str) -> None:
    drop.data = WHOLE[name]
    drop.scripts = {"train.py": MNIST}
    ended = drop.launch("python", "train.py")
    count = 50 if name in ("Keras' npz", "IDX") else 40
    assert ended.output.split() == [str(count), "10", "(784,)", "float32", "True", "int32"], ended.errors


@pytest.mark.parametrize("function", ["get_fashion_mnist", "get_kuzushiji_mnist"])
def test_its_likes_too(drop: Drop, function: str) -> None:
    drop.data = {"pictures.npz": npz(x=X, y=Y)}
    drop.scripts = {"train.py": MNIST.replace("get_mnist", function)}
    assert drop.launch("python", "train.py").output.split()[:2] == ["40", "10"]


CIFAR = """
    import chainer
    train, test = chainer.datasets.{function}()
    print(len(train), len(test), train[0][0].shape, test[3][1])
    """
COLOURS: Any = np.random.default_rng(1).integers(0, 256, (50, 3072), dtype=np.uint8)


def batch(start: int, label: str = "labels") -> bytes:
    rows = slice(start, start + 10)
    return pickle.dumps({"data": COLOURS[rows], label: Y[rows].tolist(), "batch_label": "a"}, protocol=2)


@pytest.mark.parametrize(
    ("function", "data"),
    [
        ("get_cifar10", {"a.npz": npz(x=COLOURS.reshape(50, 3, 32, 32), y=Y)}),
        ("get_cifar10", {"cifar-10.npz": npz(train_x=COLOURS, train_y=Y, test_x=COLOURS[:10], test_y=Y[:10])}),
        (
            "get_cifar10",
            {f"cifar-10-batches-py/data_batch_{number}": batch(10 * number - 10) for number in range(1, 6)}
            | {"cifar-10-batches-py/test_batch": batch(0)},
        ),
        (
            "get_cifar100",
            {f"cifar-100-python/{part}": batch(0, "fine_labels") for part in ("train", "test")},
        ),
    ],
)
def test_cifar_is_what_was_dropped(drop: Drop, function: str, data: dict[str, bytes]) -> None:
    drop.data = data
    drop.scripts = {"train.py": CIFAR.format(function=function)}
    ended = drop.launch("python", "train.py")
    count, held_out, *shape = ended.output.split()[:5] or ["0", ended.errors]
    assert (count in ("40", "50", "10"), held_out, shape) == (True, "10", ["(3,", "32,", "32)"])


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


def test_a_batch_that_would_run_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": Hostile()}))
    with pytest.raises(DatasetError, match=r"data_batch_1 is no batch of CIFAR: builtins\.print is no array"):
        _load(tmp_path / "data_batch_1")
    assert capsys.readouterr().out == ""


def test_data_of_another_size_is_not_mistaken(drop: Drop) -> None:
    drop.data = {"a.npz": npz(x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)}
    drop.scripts = {
        "train.py": """
            import chainer.dataset.download as download
            download.request.urlretrieve = lambda url, path: open(path, "w").write("") and None or exit("asked " + url)
            import chainer
            chainer.datasets.get_mnist()
            """
    }
    ended = drop.launch("python", "train.py")
    assert "an example has 2 values and not 784" in ended.errors
    assert "asked http://yann.lecun.com/exdb/mnist/train-images-idx3-ubyte.gz" in ended.errors


def test_a_file_that_would_be_downloaded_is_the_dropped_one(drop: Drop) -> None:
    drop.data = {"ptb.train.txt": b"some words"}
    drop.scripts = {
        "train.py": """
            from chainer.dataset import download
            print(open(download.cached_download("https://example.org/a/ptb.train.txt")).read())
            """
    }
    assert drop.launch("python", "train.py").output.strip() == "some words"
