"""Reads what a setup.py asks for, from its syntax tree. The file is never run."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from training_job.errors import PackagesError
from training_job.requirements.lists import line, text

_KEYWORDS = ("install_requires", "requires")


def read(path: Path, top: Path) -> line.Lines:
    """Return the lines of `install_requires` and `requires` in the calls of `setup`.

    Values that only running the file would tell, such as those of a function, are left out.

    Raises:
        PackagesError: The file is not text, or not Python 3.
    """
    file = path.relative_to(top).as_posix()
    try:
        tree = ast.parse(text.read(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise PackagesError(f"{file} is not Python 3, so what it requires is unknown: {error}") from error
    names = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    asked = [
        item
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and _called(call) == "setup"
        for keyword in call.keywords
        if keyword.arg in _KEYWORDS
        for item in _texts(keyword.value, names, set())
    ]
    found = line.Lines()
    for item in dict.fromkeys(part.strip() for value in asked for part in value.splitlines()):
        if item and not item.startswith("#"):
            found.lines.append(line.parse(item, file, path.parent))
    return found


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _texts(node: ast.expr, names: Mapping[str, ast.expr], open_names: set[str]) -> Iterator[str]:
    """Yield the texts in a literal, a sum of literals, or a name that has such a value."""
    match node:
        case ast.Constant(value=str(value)):
            yield value
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            for item in items:
                yield from _texts(item, names, open_names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _texts(left, names, open_names)
            yield from _texts(right, names, open_names)
        case ast.Starred(value=value):
            yield from _texts(value, names, open_names)
        case ast.Name(id=name) if name in names and name not in open_names:
            yield from _texts(names[name], names, open_names | {name})
