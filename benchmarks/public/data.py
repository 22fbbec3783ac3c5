"""Tiny data in the formats of public data sets, for scripts that would train on the real ones for days.

Each recipe writes its files into a folder. The values are random, but of the right types, ranges and names.
"""

import gzip
import io
import pickle
import struct
import tarfile
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_RNG = np.random.default_rng(0)
_WORDS = [a + b for a in ("ba", "de", "fi", "go", "ku", "ly") for b in ("man", "nor", "pir", "sol", "tu", "vex", "zo")]


type Array = Any  # NumPy has no types for mypy here


def _pixels(*shape: int) -> Array:
    return _RNG.integers(0, 256, shape, dtype=np.uint8)


def _sentence(low: int = 4, high: int = 12) -> str:
    return " ".join(_RNG.choice(_WORDS, _RNG.integers(low, high)))


def _lines(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{_sentence()}\n" for _ in range(count)), encoding="utf-8")


def mnist(folder: Path) -> None:
    """MNIST's four IDX files (http://yann.lecun.com/exdb/mnist/), with 1,200 and 200 pictures."""
    for stem, count in (("train", 1200), ("t10k", 200)):
        labels = _RNG.integers(0, 10, count, dtype=np.uint8)
        images: Array = _pixels(count, 28, 28) // 4
        images[np.arange(count), labels * 2, :] = 255  # a row of light that tells the class
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        header = struct.pack(">II", 0x801, count)
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))


def _tar(path: Path, members: Mapping[str, object]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def cifar(folder: Path) -> None:
    """CIFAR-10 and CIFAR-100 as https://www.cs.toronto.edu/~kriz/cifar.html offers them, with 300 pictures each."""

    def batch(count: int, key: str, classes: int) -> dict[str, object]:
        labels = [int(label) for label in _RNG.permutation(np.arange(count) % classes)]
        return {"data": _pixels(count, 3072), key: labels}

    names = [f"data_batch_{number}" for number in range(1, 6)]
    _tar(
        folder / "cifar-10-python.tar.gz",
        {f"cifar-10-batches-py/{name}": batch(50, "labels", 10) for name in [*names, "test_batch"]},
    )
    parts = {"train": 200, "test": 100}
    _tar(
        folder / "cifar-100-python.tar.gz",
        {f"cifar-100-python/{name}": batch(count, "fine_labels", 100) for name, count in parts.items()},
    )


def ptb(folder: Path) -> None:
    """The Penn Treebank's three files under the names that Chainer downloads."""
    for part, count in (("train", 200), ("valid", 30), ("test", 30)):
        _lines(folder / f"ptb.{part}.txt", count)


def pictures(folder: Path) -> None:
    """Forty pictures of 96 x 96 in the folder itself."""
    for number in range(40):
        Image.fromarray(_pixels(96, 96, 3)).save(folder / f"picture{number:03}.jpg")


def small_pictures(folder: Path) -> None:
    """Forty pictures of 32 x 32, as PNG."""
    for number in range(40):
        Image.fromarray(_pixels(32, 32, 3)).save(folder / f"picture{number:03}.png")


def frames(folder: Path) -> None:
    """A film of twelve frames of 160 x 120, with the lists that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"frame{number:03}.png" for number in range(12)]
    for name in names:
        Image.fromarray(_pixels(120, 160, 3)).save(folder / name)


def imagenet(folder: Path) -> None:
    """Pictures of 256 x 256 of two classes, the lists `train.txt` and `val.txt`, and their mean."""
    for part, count in (("train", 8), ("val", 4)):
        lines = []
        for number in range(count):
            name = f"{part}{number}.jpg"
            Image.fromarray(_pixels(256, 256, 3)).save(folder / name)
            lines.append(f"{name} {number % 2}\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    np.save(folder / "mean.npy", np.full((3, 256, 256), 127, np.float32))


def translations(folder: Path) -> None:
    """Sentences of two languages, with vocabularies, to train with and to validate with."""
    for name, count in (("train.en", 60), ("train.fr", 60), ("dev.en", 10), ("dev.fr", 10)):
        _lines(folder / name, count)
    for language in ("en", "fr"):
        (folder / f"vocab.{language}").write_text("".join(f"{word}\n" for word in _WORDS))


def trees(folder: Path) -> None:
    """The sentiment treebank (https://nlp.stanford.edu/sentiment/treebank.html): labelled trees, one a line."""

    def tree(depth: int) -> str:
        label = _RNG.integers(0, 5)
        if depth == 0:
            return f"({label} {_RNG.choice(_WORDS)})"
        return f"({label} {tree(depth - 1)} {tree(depth - 1)})"

    (folder / "trees").mkdir(exist_ok=True)
    for part, count in (("train", 40), ("dev", 10), ("test", 10)):
        (folder / "trees" / f"{part}.txt").write_text("".join(f"{tree(2)}\n" for _ in range(count)))


def babi(folder: Path) -> None:
    """Stories in the format of bAbI (https://research.fb.com/downloads/babi/), for each of its twenty tasks."""
    people, places = ("Mary", "John", "Daniel", "Sandra"), ("kitchen", "garden", "office", "hallway")
    for task in range(1, 21):
        for part, count in (("train", 60), ("test", 20)):
            lines = []
            for _ in range(count):
                moves = [(_RNG.choice(people), _RNG.choice(places)) for _ in range(2)]
                lines += [f"{line} {who} moved to the {place}." for line, (who, place) in enumerate(moves, 1)]
                lines.append(f"3 Where is {moves[1][0]}? \t{moves[1][1]}\t2")
            (folder / f"qa{task}_single-supporting-fact_{part}.txt").write_text("\n".join(lines) + "\n")


def mushrooms(folder: Path) -> None:
    """UCI's mushrooms as a CSV of letters with the class in the first column."""
    rows = ["class," + ",".join(f"c{number}" for number in range(22))]
    rows += [",".join([str(_RNG.choice(["e", "p"])), *_RNG.choice(list("abcdef"), 22)]) for _ in range(400)]
    (folder / "mushrooms.csv").write_text("\n".join(rows) + "\n")


def reviews(folder: Path) -> None:
    """Customer reviews, as text_classification's `custrev` downloads them: one file a class."""
    for name in ("custrev.pos", "custrev.neg"):
        (folder / name).write_text("".join(f"{_sentence()}\n" for _ in range(60)), encoding="latin-1")
    lines = "".join(f"{number % 2} {_sentence()}\n" for number in range(120))
    (folder / "custrev.all").write_text(lines, encoding="latin-1")


def pairs_csv(folder: Path) -> None:
    """A CSV of two columns, the second a function of the first."""
    x = np.linspace(-3, 3, 200)
    rows = "".join(f"{a:.4f},{b:.4f}\n" for a, b in zip(x, np.sin(x), strict=True))
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "my_data.csv").write_text("x,t\n" + rows)


def rotated(folder: Path) -> None:
    """Rotated MNIST as its repository's own `mnist_rot.py` writes it."""
    for part, count in (("train", 60), ("valid", 30), ("train_all", 90), ("test", 30)):
        labels: Array = _RNG.integers(0, 10, count).astype(np.float64)
        np.savez(folder / f"{part}.npz", data=_RNG.random((count, 1, 28, 28)), labels=labels)


def semisupervised(folder: Path) -> None:
    """CIFAR-10, whitened and parted into labelled and unlabelled, as its repository's own script writes it."""
    (folder / "seed1").mkdir(exist_ok=True)
    for part in ("labeled_train", "unlabeled_train", "test"):
        images = _RNG.normal(size=(100, 3072)).astype(np.float32)
        np.savez(folder / "seed1" / f"{part}.npz", images=images, labels=np.arange(100) % 10)


def camvid(folder: Path) -> None:
    """CamVid (http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/) with eight pictures of 120 x 96.

    The weights of the classes are those that its repository's own `calc_mean.py` would write.
    """
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "train_freq.csv").write_text(",".join(["1.0"] * 12) + "\n")
    for part in ("train", "val"):
        lines = []
        for sub in (part, f"{part}annot"):
            (folder / "data" / sub).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            name = f"SeqV_{number:04}_1.png"
            Image.fromarray(_pixels(96, 120, 3)).save(folder / "data" / part / name)
            Image.fromarray(_pixels(96, 120) % 12).save(folder / "data" / f"{part}annot" / name)
            lines.append(f"{part}/{name} {part}annot/{name}\n")
        (folder / "data" / f"{part}.txt").write_text("".join(lines))


def speech(folder: Path) -> None:
    """Three recordings of a second, 16 bit, 16 kHz, in folders as the VCTK corpus has them."""
    for speaker in range(1, 4):
        path = folder / "wav48" / f"p{speaker}"
        path.mkdir(parents=True)
        for take in range(2):
            with wave.open(str(path / f"p{speaker}_{take}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                file.writeframes(_RNG.integers(-8000, 8000, 16000, dtype=np.int16).tobytes())


_VGG = (("1", 3, 64, 2), ("2", 64, 128, 2), ("3", 128, 256, 3), ("4", 256, 512, 3), ("5", 512, 512, 3))


def vgg_convolutions(folder: Path) -> None:
    """Random weights of VGG-16's convolutions, under the file name and the keys of `vgg16.model`."""
    weights = {}
    for block, before, after, count in _VGG:
        for number in range(1, count + 1):
            inputs = before if number == 1 else after
            shape = (after, inputs, 3, 3)
            weights[f"conv{block}_{number}/W"] = _RNG.normal(0, 0.05, shape).astype(np.float32)
            weights[f"conv{block}_{number}/b"] = np.zeros(after, np.float32)
    np.savez(folder / "vgg16.npz", **weights)
    (folder / "vgg16.npz").rename(folder / "vgg16.model")


def models_folder(folder: Path) -> None:
    """An empty folder `models`, which a script writes to but doesn't create."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "README").write_text("The script writes its models here.\n")


def style(folder: Path) -> None:
    """A picture whose style is learned."""
    Image.fromarray(_pixels(96, 96, 3)).save(folder / "style.png")


Recipe = Callable[[Path], None]
RECIPES: Mapping[str, Recipe] = {
    recipe.__name__: recipe
    for recipe in (
        mnist, cifar, ptb, pictures, small_pictures, frames, imagenet, translations, trees, babi, mushrooms, reviews,
        pairs_csv, rotated, semisupervised, camvid, speech, vgg_convolutions,
        models_folder, style,
    )
}  # fmt: skip
