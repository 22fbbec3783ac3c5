"""Makes Python of a cell: what only IPython understands (`%matplotlib inline`, `!pip install x`, `name?`) is left out.

Reference: https://ipython.readthedocs.io/en/stable/interactive/magics.html. Line numbers stay as they are. A magic that
runs or writes code is replaced with what it does: `%time f()` with `f()`, `%%writefile` with writing the file, and
`%pylab` with its imports.
"""

import ast
import re
import warnings
from typing import NamedTuple

_LINE = re.compile(r"(?P<indent>\s*)(?P<target>[\w.,()\[\]'\" ]+=\s*)?(?P<magic>(?:%{1,2}|!{1,2}|\?{1,2})\s*\S.*)")
_HELP = re.compile(r"(?P<indent>\s*)(?P<magic>[\w.]+\?{1,2})\s*")
_CELL = re.compile(r"\s*%%(?P<name>\w+)[ \t]*(?P<rest>.*)")
_TIMING = re.compile(r"%(?:time|timeit|prun)\s+(?:-\w+\s*\d*\s+)*(?P<code>\S.*)")
_PYLAB = re.compile(r"%pylab\b")
_INSTALL = re.compile(
    r"[!%]{1,2}\s*(?:\S*python[\d.]*\s+-m\s+|sudo\s+)*(?:pip[\d.]*|conda)\s+install\s+(?P<packages>.*)"
)
_PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun"})
"""Cell magics whose cells are Python that runs in the notebook."""
_WRITE_CELLS = frozenset({"writefile", "file"})
_PYLAB_IMPORTS = (
    "import numpy, matplotlib; from matplotlib import pylab, mlab, pyplot; np = numpy; plt = pyplot; "
    "from matplotlib.pylab import *; from numpy import *"
)
"""What IPython's `%pylab` runs (IPython.core.pylabtools.import_pylab)."""


class LeftOut(NamedTuple):
    """What is left out of a cell: the number of its line, its text, and what to do instead, if anything."""

    line: int
    text: str
    advice: str = ""


def to_python(source: str) -> tuple[str, list[LeftOut]]:
    """Return a cell as Python, and what was left out of it. Other mistakes of the cell stay in it."""
    lines = _dedented(source.splitlines())
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    left_out: list[LeftOut] = []
    if lines and (found := _CELL.fullmatch(lines[first])):
        body = lines[first + 1 :]
        if found["name"] in _WRITE_CELLS and found["rest"] and not found["rest"].startswith("-"):
            text = "\n".join(body) + "\n"
            return f"__import__('pathlib').Path({found['rest'].strip()!r}).write_text({text!r}) and None", []
        left_out.append(LeftOut(first + 1, lines[first].strip()))
        if found["name"] not in _PYTHON_CELLS:
            return "", left_out
        lines[first] = ""
    while (number := _error_line(lines)) is not None and _replace(lines, number - 1, left_out):
        pass
    return "\n".join(lines) + "\n", left_out


def _dedented(lines: list[str]) -> list[str]:
    """Return the lines without the indentation of the first, as IPython takes a cell that was pasted with one."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indent) for line in lines]


def _error_line(lines: list[str]) -> int | None:
    """Return the line of the first mistake in Python; None if there is none. A magic is always a mistake there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # compiling the cell shows them
            ast.parse("\n".join(lines) + "\n")
    except SyntaxError as error:
        return error.lineno
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def _replace(lines: list[str], index: int, left_out: list[LeftOut]) -> bool:
    """Replace the magic in a line; return False if it has none."""
    found = _LINE.fullmatch(lines[index]) or _HELP.fullmatch(lines[index]) if 0 <= index < len(lines) else None
    if found is None:
        return False
    magic = found["magic"].strip()
    if timed := _TIMING.fullmatch(magic):
        lines[index] = found["indent"] + timed["code"]
        return True
    if _PYLAB.match(magic):
        lines[index] = found["indent"] + _PYLAB_IMPORTS
        return True
    advice = "name the packages in requirements.txt beside the notebook" if _INSTALL.fullmatch(magic) else ""
    left_out.append(LeftOut(index + 1, lines[index].strip(), advice))
    target = found.groupdict().get("target")
    # A shell command returns a list of lines.
    lines[index] = found["indent"] + (f"{target}{'[]' if magic.startswith('!') else 'None'}" if target else "pass")
    while magic.endswith("\\") and index + 1 < len(lines):
        index += 1
        magic, lines[index] = lines[index].rstrip(), ""
    return True
