"""The code cells of a Jupyter notebook, of nbformat 3 or 4 (https://nbformat.readthedocs.io/en/latest/format_description.html).

A notebook is a small JSON document, so the package nbformat, with its schemas, is not needed to read one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_job.errors import NotebookError

_VERSIONS = (3, 4)
_PYTHON = ("python", "ipython")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A code cell. `number` counts the code cells from 1, as Jupyter does when it runs all of them."""

    number: int
    source: str


def read(path: Path) -> tuple[Cell, ...]:
    """Return the code cells of a notebook, without empty ones.

    Raises:
        NotebookError: It is not a notebook, has another version, or has cells of another language than Python.
    """
    try:
        document = json.loads(path.read_bytes())
        version = document["nbformat"]
        if version not in _VERSIONS:
            raise NotebookError(f"{path.name} has nbformat {version!r}: open it in Jupyter and save it as version 4")
        language = _language(document.get("metadata") or {})
        found = enumerate(_code_cells(document, version), start=1)
        cells = [(number, _text(cell, version), str(cell.get("language", language))) for number, cell in found]
    except OSError as error:
        raise NotebookError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotebookError(f"{path.name} is not a notebook: {error!r}") from error
    for number, source, written in cells:
        if written.lower() not in _PYTHON and source.strip():
            raise NotebookError(f"{path.name}, cell {number} is {written}: only notebooks in Python can be run")
    return tuple(Cell(number=number, source=source) for number, source, _ in cells if source.strip())


def _language(metadata: Mapping[str, Any]) -> str:
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        language = (metadata.get(key) or {}).get(name)
        if language:
            return str(language)
    return "python"


def _code_cells(document: Mapping[str, Any], version: int) -> Iterator[Mapping[str, Any]]:
    sheets = document["worksheets"] if version == _VERSIONS[0] else [document]
    for sheet in sheets:
        yield from (cell for cell in sheet["cells"] if cell["cell_type"] == "code")


def _text(cell: Mapping[str, Any], version: int) -> str:
    source = cell["input" if version == _VERSIONS[0] else "source"]
    return source if isinstance(source, str) else "".join(source)
