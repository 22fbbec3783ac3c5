"""Makes `get_mnist()`, `get_cifar10()` and similar functions use the dropped data instead of a cache or the network.

A file that Chainer would create or download is taken from KEDJA_DATA if that folder contains

1. the same file, in Chainer's layout (`pfnet/chainer/mnist/train.npz`), without the prefix (`mnist/train.npz`), or as
   `cifar-10.npz`;
2. for MNIST, similar data sets and CIFAR, pictures of the right size in any format that the built-in trainer reads (for
   CIFAR also `cifar-10-batches-py`); without test data, a fifth is held out as the test set;
3. the file that would be downloaded, by name (`train_32x32.mat`), in any folder of the drop. So are weights of
   pretrained models, of Chainer (`VGG_ILSVRC_16_layers.caffemodel`, or `.npz`) and of ChainerCV.
"""

import contextlib
import functools
import io
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.errors import DatasetError
from training_job.hooks import dropped_files, import_hook
from training_job.hooks.import_hook import Patch, PatchFinder

_OWN = "pfnet/chainer"
_MNIST = ("mnist", "fashion-mnist", "kuzushiji_mnist")
_MNIST_VALUES, _CIFAR_VALUES = 784, 3072
_WHITE = 255
_MODELS = "models"
_PICKLES = "-python.tar.gz"  # only _batches reads pickled objects


def load_dropped(name: str, loader: Callable[[str], Any], data: Path) -> Any:  # noqa: ANN401 - what Chainer's loader returns
    """Return what the loader makes of a dropped file, or None. `name` is relative to Chainer's cache."""
    short = name.removeprefix(f"{_OWN}/")
    for path in (data / name, data / short, *([data / Path(short).name] if short.startswith("cifar/") else ())):
        if path.is_file():
            dropped_files.log(f"{path.name} is taken from the dropped data")
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
    from training_job.trainer.datasets.finder import load  # noqa: PLC0415 - imports NumPy and Pillow: only if needed

    folder = data / name if (data / name).is_dir() else data
    try:
        split = load(folder)
    except DatasetError as error:
        dropped_files.log(f"the dropped data is not used for {name}: {error}")
        return None
    found = split.train.x.reshape(len(split.train), -1).shape[1]
    if found != values:
        dropped_files.log(f"the dropped data is not used for {name}: an example has {found} values and not {values}")
        return None
    white = 1 if split.train.x.dtype.kind == "u" or split.train.x.max() > 1 else _WHITE
    halves = tuple((table.x.reshape(len(table), values) * white, table.y) for table in (split.train, split.held_out))
    dropped_files.log(
        f"{name} is the dropped data: {len(split.train)} examples to train on, {len(split.held_out)} to test with"
    )
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
    dropped_files.log(f"{name} is the dropped {folder.name}")
    return halves[0], halves[1]


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, dicts, lists, numbers and texts. Other classes are refused, as they could run any code."""

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


def _found(url: str) -> Path | None:
    name = dropped_files.name_in(url)
    return None if name.endswith(_PICKLES) else dropped_files.find(name)


@contextlib.contextmanager
def _noting(name: str) -> Iterator[None]:
    """Note that a file is missing if its download fails."""
    try:
        yield
    except (Exception, KeyboardInterrupt):  # ChainerCV asks on the terminal, and raises the latter at "no"
        dropped_files.note_missing(name)
        raise


@contextlib.contextmanager
def _download(module: ModuleType) -> Iterator[None]:
    yield
    make, download = module.cache_or_load_file, module.cached_download

    @functools.wraps(make)
    def cache_or_load_file(path: str, creator: Callable[[str], Any], loader: Callable[[str], Any]) -> Any:  # noqa: ANN401
        name = Path(os.path.relpath(path, module.get_dataset_root())).as_posix()
        if name.startswith(f"{_OWN}/{_MODELS}/") and (weights := dropped_files.find(Path(name).name)) is not None:
            return loader(str(weights))
        data = dropped_files.data_folder()
        if data is not None:
            found = load_dropped(name, loader, data)
            if found is not None:
                return found
        return make(path, creator, loader)

    @functools.wraps(download)
    def cached_download(url: str) -> str:
        found = _found(url)
        if found is not None:
            return str(found)
        with _noting(dropped_files.name_in(url)):
            return str(download(url))

    module.cache_or_load_file = cache_or_load_file  # type: ignore[attr-defined]
    module.cached_download = cached_download  # type: ignore[attr-defined]


@contextlib.contextmanager
def _chainercv_download(module: ModuleType) -> Iterator[None]:
    yield
    download = module.cached_download

    @functools.wraps(download)
    def cached_download(url: str) -> str:
        found = _found(url)
        if found is None:
            with _noting(dropped_files.name_in(url)):
                return str(download(url))
        # `download_model` moves what it gets to its folder of models.
        link = Path(tempfile.mkdtemp(dir=module.get_dataset_directory("_dl_cache")), found.name)
        link.symlink_to(found)
        return str(link)

    module.cached_download = cached_download  # type: ignore[attr-defined]


@contextlib.contextmanager
def _resnet(module: ModuleType) -> Iterator[None]:
    yield
    make = module._make_npz  # noqa: SLF001 - there is no other way

    @functools.wraps(make)
    def make_npz(path_npz: str, path_caffemodel: str, *rest: Any) -> Any:  # noqa: ANN401 - as Chainer's
        name = Path(path_caffemodel).name
        if not Path(path_caffemodel).exists():
            found = dropped_files.find(name)
            if found is None:
                dropped_files.note_missing(name)
            path_caffemodel = str(found or path_caffemodel)
        return make(path_npz, path_caffemodel, *rest)

    module._make_npz = make_npz  # type: ignore[attr-defined]  # noqa: SLF001 - as above


_FINDER = PatchFinder(
    (
        Patch(
            module="chainer.dataset.download",
            symptom="nothing: the script's data sets would be downloaded, mostly from addresses that no longer exist",
            since="-",
            fix="dropped data takes precedence",
            apply=_download,
        ),
        Patch(
            module="chainercv.utils.download",
            symptom="nothing: pretrained weights would be downloaded, after a question on the terminal",
            since="-",
            fix="a dropped file of the same name takes precedence",
            apply=_chainercv_download,
        ),
        Patch(
            module="chainer.links.model.vision.resnet",
            symptom="the weights of ResNet50Layers must be placed into a folder of the node by hand",
            since="-",
            fix="a dropped file of the same name is used",
            apply=_resnet,
        ),
    )
)


def install() -> None:
    """Install the hook, if `launch` started this process."""
    if metrics.FILE_VARIABLE in os.environ:
        import_hook.install(_FINDER)
