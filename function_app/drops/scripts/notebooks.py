"""The code of a dropped notebook (nbformat 3 or 4), and whether it only submits a script to Azure ML.

`training_job.notebooks` runs notebooks; this reads just enough to refuse one that cannot be run.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from function_app.drops.scripts import python2
from function_app.errors import Invalid

_VERSIONS = (3, 4)
_PYTHON = ("python", "ipython")
_CELL_MAGIC = re.compile(r"\s*%%(\w+).*")
_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun"})
"""Cell magics whose cells run in the notebook."""
_MAGIC = re.compile(r"(\s*)(?:[\w.,()\[\]'\" ]+=\s*)?(?:%|!|\?)\s*\S.*|(\s*)[\w.]+\?{1,2}\s*")
_CHAINER = re.compile(r"^\s*(?:import|from)\s+[^#\n]*\bchainer", re.MULTILINE)
_SDK = re.compile(r"^\s*(?:import|from)\s+azureml\b", re.MULTILINE)
_SUBMITTED = ("script", "entry_script")
_SCORING = frozenset({"InferenceConfig", "image_configuration"})
"""Calls whose `entry_script` scores and does not train."""


class InvalidNotebook(Invalid):
    """A notebook that no job can run. The message continues the sentence that begins with its name."""


def cells(content: bytes) -> list[str]:
    """Return the source of each code cell as Python, with the same lines, without magics and shell commands.

    Raises:
        InvalidNotebook: It is not a notebook, has another version, or has cells of another language than Python.
    """
    try:
        document = json.loads(content)
        version = document["nbformat"]
        if version not in _VERSIONS:
            raise InvalidNotebook(f"has nbformat {str(version)[:20]}")
        language = _language(document.get("metadata") or {})
        found = [(str(cell.get("language", language)), _text(cell)) for cell in _code_cells(document)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidNotebook("is not a notebook") from error
    for number, (written, source) in enumerate(found, start=1):
        if written.lower() not in _PYTHON and source.strip():
            raise InvalidNotebook(f"has a cell, number {number}, of the language {written[:40]}")
    return [_without_magics(source) for _, source in found]


def imports(sources: Iterable[str], module: str) -> bool:
    """Return whether a cell imports this module."""
    pattern = re.compile(rf"^\s*(?:import\s+(?:[\w.]+\s*,\s*)*|from\s+){re.escape(module)}\b", re.MULTILINE)
    return any(pattern.search(source) for source in sources)


def submitted_script(sources: Sequence[str]) -> str | None:
    """Return the script that a notebook submits by Azure ML's SDK v1, if it does not train itself; else None.

    The name is empty if the notebook does not say which script it is.
    """
    if any(map(_CHAINER.search, sources)) or not any(map(_SDK.search, sources)):
        return None
    calls = [node for tree in _trees(sources) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if "submit" not in map(_called, calls):
        return None
    named = (
        word.value.value
        for call in calls
        if _called(call) not in _SCORING
        for word in call.keywords
        if word.arg in _SUBMITTED and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str)
    )
    return next(named, "")


def _trees(sources: Iterable[str]) -> Iterator[ast.Module]:
    for source in sources:
        tree = python2.parse(source)
        if isinstance(tree, ast.Module):
            yield tree


def _called(call: ast.Call) -> str | None:
    """Return the last part of the name of what is called."""
    return getattr(call.func, "attr", None) or getattr(call.func, "id", None)


def _language(metadata: Mapping[str, Any]) -> str:
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        if language := (metadata.get(key) or {}).get(name):
            return str(language)
    return "python"


def _code_cells(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for sheet in document.get("worksheets", [document]):
        yield from (cell for cell in sheet["cells"] if cell["cell_type"] == "code")


def _text(cell: Mapping[str, Any]) -> str:
    source = cell["source"] if "source" in cell else cell["input"]
    return source if isinstance(source, str) else "".join(source)


def _without_magics(source: str) -> str:
    lines = source.splitlines()
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if lines and (magic := _CELL_MAGIC.fullmatch(lines[first])):
        if magic[1] not in _PYTHON_CELLS:
            return ""
        lines[first] = ""
    is_continued = False
    for index, line in enumerate(lines):
        found = _MAGIC.fullmatch(line)
        if is_continued or found:
            lines[index] = "" if is_continued or found is None else f"{found[1] or found[2] or ''}pass"
            is_continued = line.rstrip().endswith("\\")
    return "\n".join(lines) + "\n"
