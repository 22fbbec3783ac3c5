"""`.kedja/export/exports.json`: the networks that a script's process exported, for `launch`.

The files of the networks lie beside it. Paths in the document are relative to its folder, but for `source`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from training_job.atomic_write import write_json
from training_job.errors import ExportError

FOLDER = "export"
NAME = "exports.json"
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of a network.

    `dtype` is NumPy's name. A dimension of `shape` is a number, or the name of a free one: `N` is the batch. `low` and
    `high` are the smallest and largest value seen while the script ran; both are None for outputs.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the tensor from JSON."""
        return cls(**{**document, "shape": tuple(document["shape"])})


@dataclass(frozen=True, kw_only=True)
class Source:
    """The file that the script saved, whose weights were exported: its path at that time, and its SHA-256."""

    path: Path
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Return the source that a file is now.

        Raises:
            OSError: The file cannot be read.
        """
        with path.open("rb") as stream:
            return cls(path=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


@dataclass(frozen=True, kw_only=True)
class ExportedNetwork:
    """A network that was written as ONNX.

    `name` is the file's stem; `link` the class of the Link; `method` the one that was exported, such as `forward`.
    `parity` is the JSON file of the comparison with Chainer (its arrays have the ending `.npz`), None if there was no
    comparison. `sentence` says how it ended. `metadata` is that of the ONNX file.
    """

    name: str
    link: str
    method: str
    onnx: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parity: Path | None
    verified: bool
    sentence: str
    source: Source
    metadata: Mapping[str, str]

    @property
    def files(self) -> tuple[Path, ...]:
        """The ONNX file, and those of the comparison."""
        return (self.onnx, *(() if self.parity is None else (self.parity, self.parity.with_suffix(".npz"))))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A saved Link that was not exported, and why.

    `function` is Chainer's function or link that cannot be exported, and `path` where in the Link it is, if known.
    """

    link: str
    reason: str
    source: Path | None = None
    function: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Exports:
    """What a script's process exported, in the order in which the Links were saved."""

    networks: tuple[ExportedNetwork, ...] = ()
    failures: tuple[Failure, ...] = ()

    def of_file(self, sha256: str) -> tuple[ExportedNetwork, ...]:
        """Return the networks whose weights are those of a file with this SHA-256."""
        return tuple(network for network in self.networks if network.source.sha256 == sha256)


_written: set[int] = set()


def is_written() -> bool:
    """Return whether this process has written what it exported."""
    return os.getpid() in _written


def write(folder: Path, exports: Exports) -> None:
    """Write the document into the folder that has the networks' files."""

    def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a document
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, Path):
            return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
        return value

    write_json(folder / NAME, {"version": _VERSION, **plain(asdict(exports))})
    _written.add(os.getpid())


def read(state: Path) -> Exports | None:
    """Return what the script's process exported, below the folder of the job's state; None if it did not get there.

    Raises:
        ExportError: The document is damaged, or a file that it names is missing.
    """
    folder = state / FOLDER
    try:
        document = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder / NAME} cannot be read: {error}") from error
    try:
        exports = Exports(
            tuple(_network(folder, one) for one in document["networks"]),
            tuple(_failure(one) for one in document["failures"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{folder / NAME} is no list of exported networks: {error!r}") from error
    missing = [path for network in exports.networks for path in network.files if not path.is_file()]
    if missing:
        raise ExportError(f"{missing[0]} is missing, although {NAME} names it")
    return exports


def _network(folder: Path, document: Mapping[str, Any]) -> ExportedNetwork:
    parity = document["parity"]
    return ExportedNetwork(
        **{
            **document,
            "onnx": folder / document["onnx"],
            "inputs": tuple(map(Tensor.of, document["inputs"])),
            "outputs": tuple(map(Tensor.of, document["outputs"])),
            "parity": None if parity is None else folder / parity,
            "source": Source(path=Path(document["source"]["path"]), sha256=str(document["source"]["sha256"])),
        }
    )


def _failure(document: Mapping[str, Any]) -> Failure:
    source = document["source"]
    return Failure(**{**document, "source": None if source is None else Path(source)})
