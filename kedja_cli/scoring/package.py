"""A downloaded package: what its `input.json` says of each network.

`training_job/package/input_file.py` writes the file, and describes its format.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from attrs import frozen

from kedja_cli.errors import CommandError, Exit
from kedja_cli.scoring.encoding import EncodedColumn

INPUT = "input.json"
_VERSION = 1

type Kind = Literal["array", "picture", "table"]


@frozen(kw_only=True)
class Input:
    """An input of a network. A side of `shape` that is a text is free.

    `seen` is the range of its values in training, and `bounds` the usual range that these are of, if there is one.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    seen: tuple[float, float] | None
    bounds: tuple[float, float] | None

    @property
    def batch(self) -> int | None:
        """The only number of examples that it takes at once; None if any."""
        return self.shape[0] if self.shape and isinstance(self.shape[0], int) else None

    @property
    def text(self) -> str:
        """The dtype and shape, for people."""
        return f"{self.dtype} ({', '.join(map(str, self.shape))})"


@frozen(kw_only=True)
class Column:
    """A column of a table, and the input that takes it. `categories` are the texts seen in training, if they count."""

    name: str
    input: str
    is_text: bool
    accepts_missing: bool
    accepts_unseen: bool
    categories: frozenset[str] | None


@frozen(kw_only=True)
class Picture:
    """How a picture becomes an example: Pillow's mode, (height, width), and whether it has an axis of channels.

    `resizes`: pictures of another size are resized, as those of training were.
    """

    mode: str
    size: tuple[int, int]
    has_channels: bool
    resizes: bool


@frozen(kw_only=True)
class Network:
    """A network of a package. `file` is the path of its ONNX file."""

    name: str
    file: Path
    kind: Kind
    is_verified: bool
    inputs: Sequence[Input]
    outputs: Sequence[str]
    classes: Sequence[str] | None
    picture: Picture | None
    columns: Sequence[Column]
    encoded: Sequence[EncodedColumn]
    label: str | None

    @property
    def column_names(self) -> Sequence[str]:
        """The names of the columns of a table; none if it is not one."""
        return [*(column.name for column in self.columns), *(column.name for column in self.encoded)]


@frozen(kw_only=True)
class Package:
    """The networks of a package, by their names. `default` is the one that others load."""

    networks: Mapping[str, Network]
    default: str

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the package in a folder.

        Raises:
            CommandError: Its `input.json` is damaged, or of a version that this command does not know.
        """
        path = folder / INPUT
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            version = document["version"]
            if version == _VERSION:
                networks = [_network(folder, one) for one in document["networks"]]
                found = cls(networks={one.name: one for one in networks}, default=str(document["default"]))
                found.choose(None)
                return found
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise CommandError(f"{path} does not describe a package: {error!r}.") from error
        raise CommandError(
            f"{path} has version {version!r}; this command reads version {_VERSION}.", "Install a newer kedja."
        )

    def choose(self, name: str | None) -> Network:
        """Return the network of this name, or the default.

        Raises:
            CommandError: There is no network of this name.
        """
        wanted = self.default if name is None else name
        if wanted not in self.networks:
            raise CommandError(
                f"There is no network {wanted!r}.", f"Choose one of: {', '.join(self.networks)}.", code=Exit.USAGE
            )
        return self.networks[wanted]


def _network(folder: Path, document: Mapping[str, Any]) -> Network:
    file = str(document["file"])
    if "/" in file or "\\" in file or file in ("", ".", ".."):
        raise ValueError(f"{file!r} is not the name of a file")
    kind: Kind = document["kind"]
    if kind not in ("array", "picture", "table"):
        raise ValueError(f"kind is {kind!r}")
    columns: Sequence[Mapping[str, Any]] = document.get("columns") or ()
    classes, picture, label = document.get("classes"), document.get("picture"), document.get("label")
    return Network(
        name=str(document["name"]),
        file=folder / file,
        kind=kind,
        is_verified=bool(document["verified"]),
        inputs=tuple(map(_input, document["inputs"])),
        outputs=tuple(str(one["name"]) for one in document["outputs"]),
        classes=None if classes is None else tuple(map(str, classes)),
        picture=None if kind != "picture" or picture is None else _picture(picture),
        columns=tuple(_column(one) for one in columns if "kind" not in one),
        encoded=tuple(EncodedColumn.of(one) for one in columns if "kind" in one),
        label=None if label is None else str(label),
    )


def _input(document: Mapping[str, Any]) -> Input:
    return Input(
        name=str(document["name"]),
        dtype=str(document["dtype"]),
        shape=tuple(side if isinstance(side, int) else str(side) for side in document["shape"]),
        seen=_range(document["seen"]),
        bounds=_range(document["bounds"]),
    )


def _range(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _picture(document: Mapping[str, Any]) -> Picture:
    height, width = document["size"]
    return Picture(
        mode=str(document["mode"]),
        size=(int(height), int(width)),
        has_channels=document["layout"] == "CHW",
        resizes=document.get("resize") == "bilinear",
    )


def _column(document: Mapping[str, Any]) -> Column:
    categories = document.get("categories")
    return Column(
        name=str(document["name"]),
        input=str(document["input"]),
        is_text=document["type"] == "text",
        accepts_missing=document.get("missing") == "accept",
        accepts_unseen=document.get("unseen") == "accept",
        categories=None if categories is None else frozenset(map(str, categories)),
    )
