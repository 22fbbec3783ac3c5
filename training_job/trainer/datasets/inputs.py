"""`input.json`: how a raw file becomes the examples of a model, and what its outputs mean.

    {"version": 1, "kind": "table", "task": "classification", "classes": ["setosa", …], "label": "species",
     "columns": [{"name": "width", "kind": "number", "scales": [{"fill": …, "mean": …, "deviation": …}]}, …],
     "left_out": [{"name": "id", "reason": "numbers the rows"}]}
    {"version": 1, "kind": "pictures", "task": …, "classes": …, "mode": "RGB", "height": 28, "width": 28}
    {"version": 1, "kind": "arrays", "task": …, "classes": …, "shape": [4]}

The fields of a column are those of `tables.columns.Column`. A regression has no classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_job.atomic_write import write_json
from training_job.errors import ModelError
from training_job.trainer.datasets.task import Task

if TYPE_CHECKING:  # pandas, which it imports, is slow, and only tables need it
    from training_job.trainer.datasets.tables.columns import Column

NAME = "input.json"
_VERSION = 1


class Kind(StrEnum):
    """What the raw data is."""

    TABLE = "table"
    PICTURES = "pictures"
    ARRAYS = "arrays"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The content of `input.json`.

    A table has `columns` (in the order of the inputs), those `left_out` with the reason, and the `label`'s name.
    Pictures have a `mode` (`L` or `RGB`), and `shape` is (height, width); arrays have the `shape` of an example.
    """

    kind: Kind
    task: Task = Task.CLASSIFICATION
    classes: tuple[str, ...] = ()
    label: str | None = None
    columns: "tuple[Column, ...]" = ()
    left_out: Mapping[str, str] | None = None
    mode: str | None = None
    shape: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that `from_json` reads."""
        document: dict[str, Any] = {
            "version": _VERSION, "kind": str(self.kind), "task": str(self.task), "classes": list(self.classes),
        }  # fmt: skip
        if self.kind is Kind.TABLE:
            left_out = [{"name": name, "reason": reason} for name, reason in (self.left_out or {}).items()]
            columns = [column.to_json() for column in self.columns]
            return document | {"label": self.label, "columns": columns, "left_out": left_out}
        if self.kind is Kind.PICTURES:
            return document | {"mode": self.mode, "height": self.shape[0], "width": self.shape[1]}
        return document | {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Inputs":
        """Read a document of `to_json`.

        Raises:
            KeyError: A field is missing.
            TypeError: A field has the wrong type, or is unknown.
            ValueError: The version or a field is unknown.
        """
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}: {_VERSION} is what this Kedja reads")
        kind = Kind(document["kind"])
        fields: dict[str, Any] = {"shape": tuple(int(side) for side in document.get("shape", ()))}
        if kind is Kind.TABLE:
            from training_job.trainer.datasets.tables.columns import Column  # noqa: PLC0415 - imports pandas

            fields = {
                "label": document["label"],
                "columns": tuple(Column.from_json(column) for column in document["columns"]),
                "left_out": {column["name"]: column["reason"] for column in document["left_out"]},
            }
        elif kind is Kind.PICTURES:
            shape = (int(document["height"]), int(document["width"]))
            fields = {"mode": document["mode"], "shape": shape}
        return cls(kind=kind, task=Task(document["task"]), classes=tuple(document["classes"]), **fields)


def save(folder: Path, inputs: Inputs) -> None:
    """Write `input.json` atomically."""
    write_json(folder / NAME, inputs.to_json())


def load(folder: Path) -> Inputs | None:
    """Return the description of a model folder, or None if it is older than this file.

    Raises:
        ModelError: The file is damaged, or of an unknown version.
    """
    path = folder / NAME
    try:
        return Inputs.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is no description of a model's inputs: {error!r}") from error
