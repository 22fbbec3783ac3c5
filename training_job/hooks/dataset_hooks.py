"""Lets `get_mnist()`, `get_cifar10()` and friends find the dropped data before they ask their cache or the network.

Where KEDJA_DATA holds, for a file that Chainer would make or download,

1. that very file, under Chainer's own layout (`pfnet/chainer/mnist/train.npz`), without its beginning
   (`mnist/train.npz`), or `cifar-10.npz`;
2. for MNIST and its likes and for CIFAR, pictures of their size in any format that the built-in trainer reads (for
   CIFAR its own `cifar-10-batches-py` too); without test data, a fifth is held out for the test set;
3. the file that would be downloaded, under its own name (`train_32x32.mat`),

it is taken from there.
"""

import contextlib
import functools
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.errors import DatasetError
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder

DATA_VARIABLE = "KEDJA_DATA"
_OWN = "pfnet/chainer"
_MNIST = ("mnist", "fashion-mnist", "kuzushiji_mnist")
_MNIST_VALUES, _CIFAR_VALUES = 784, 3072
_WHITE = 255
_PICKLES = "-python.tar.gz"  # what holds pickled objects is read by _batches, or not at all


def load_dropped(name: str, loader: Callable[[str], Any], data: Path) -> Any:  # noqa: ANN401 - what Chainer's loader returns
    """Return what the loader makes of a file of Chainer's cache, `name` relative to it; None if it was not dropped."""
    short = name.removeprefix(f"{_OWN}/")
    for path in (data / name, data / short, *([data / Path(short).name] if short.startswith("cifar/") else ())):
        if path.is_file():
            _log(f"{path.name} is the dropped one")
            return loader(str(path))
    folder, _, file = short.partition("/")
    if folder in _MNIST and file in ("train.npz", "test.npz"):
        split = _pictures(folder, data, _MNIST_VALUES)
        return None if split is None else dict(zip("xy", split[file == "test.npz"], strict=True))
    if folder == "cifar":
        split = _batches(data, Path(file).stem) or _pictures(Path(file).stem, data, _CIFAR_VALUES)
        if split is not None:
            (train_x, train_y), (test_x, test_y) = split
            return {"train_x": train_x, "train_y": train_y, "test_x": test_x, "test_y": test_y}
    return None


_Half = tuple[Any, Any]


@functools.cache
def _pictures(name: str, data: Path, values: int) -> tuple[_Half, _Half] | None:
    from training_job.trainer.datasets.finder import load  # noqa: PLC0415 - imports NumPy and Pillow: only where it is needed

    folder = data / name if (data / name).is_dir() else data
    try:
        split = load(folder)
    except DatasetError as error:
        _log(f"the dropped data is not used for {name}: {error}")
        return None
    found = split.train.x.reshape(len(split.train), -1).shape[1]
    if found != values:
        _log(f"the dropped data is not used for {name}: an example has {found} values and not {values}")
        return None
    white = 1 if split.train.x.dtype.kind == "u" or split.train.x.max() > 1 else _WHITE
    halves = tuple((table.x.reshape(len(table), values) * white, table.y) for table in (split.train, split.held_out))
    _log(f"{name} is the dropped data: {len(split.train)} examples to train on, {len(split.held_out)} to test with")
    return halves[0], halves[1]


def _batches(data: Path, name: str) -> tuple[_Half, _Half] | None:
    """Read CIFAR's own files, https://www.cs.toronto.edu/~kriz/cifar.html: pickled dicts of arrays and lists."""
    import numpy as np  # noqa: PLC0415 - as above

    if name == "cifar-10":
        folder, label = data / "cifar-10-batches-py", "labels"
        parts = [[f"data_batch_{number}" for number in range(1, 6)], ["test_batch"]]
    else:
        folder, label, parts = data / "cifar-100-python", "fine_labels", [["train"], ["test"]]
    if not folder.is_dir():
        return None
    halves = []
    for files in parts:
        batches = [_load(folder / file) for file in files]
        x = np.concatenate([batch["data"].reshape(-1, _CIFAR_VALUES) for batch in batches])
        halves.append((x, np.concatenate([np.array(batch[label], np.uint8) for batch in batches])))
    _log(f"{name} is the dropped {folder.name}")
    return halves[0], halves[1]


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, dicts, lists, numbers and texts; any other class is refused, as making one could run anything."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a class or a function
        import numpy as np  # noqa: PLC0415 - as above

        reconstruct = np.ndarray((0,)).__reduce__()[0]
        allowed = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": reconstruct}
        if module.partition(".")[0] == "numpy" and name in allowed:
            return allowed[name]
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _: text.encode("latin-1")  # how Python 3 writes bytes for Python 2
        raise pickle.UnpicklingError(f"{module}.{name} is no array")


def _load(path: Path) -> Any:  # noqa: ANN401 - a dict
    try:
        return _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin-1").load()
    except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{path.name} is no batch of CIFAR: {error}") from error


def _data() -> Path | None:
    folder = os.environ.get(DATA_VARIABLE)
    return None if folder is None else Path(folder)


def _log(text: str) -> None:
    print(f"kedja: {text}", file=sys.stderr, flush=True)  # noqa: T201 - part of the job's log


@contextlib.contextmanager
def _download(module: ModuleType) -> Iterator[None]:
    yield
    make, download = module.cache_or_load_file, module.cached_download

    @functools.wraps(make)
    def cache_or_load_file(path: str, creator: Callable[[str], Any], loader: Callable[[str], Any]) -> Any:  # noqa: ANN401
        data = _data()
        if data is not None:
            found = load_dropped(Path(os.path.relpath(path, module.get_dataset_root())).as_posix(), loader, data)
            if found is not None:
                return found
        return make(path, creator, loader)

    @functools.wraps(download)
    def cached_download(url: str) -> str:
        data, name = _data(), url.rpartition("/")[2]
        if data is not None and name and not name.endswith(_PICKLES) and (data / name).is_file():
            _log(f"{name} is the dropped one")
            return str(data / name)
        return str(download(url))

    module.cache_or_load_file = cache_or_load_file  # type: ignore[attr-defined]
    module.cached_download = cached_download  # type: ignore[attr-defined]


_FINDER = PatchFinder(
    (
        Patch(
            module="chainer.dataset.download",
            symptom="nothing: the data sets of the script would be downloaded, and most of their addresses are dead",
            since="-",
            fix="what was dropped is taken first",
            apply=_download,
        ),
    )
)


def install() -> None:
    """Serve dropped data in this process, if it is part of a job that `launch` started."""
    if metrics.FILE_VARIABLE in os.environ:
        import_hook.install(_FINDER)
