"""Tells whether an installed package was written for the libraries of Chainer's time.

A package's own files decide, not a list of names:

1. Its metadata require Chainer, or its sources import it (ChainerCV, ChainerRL, …), or
2. its metadata name the versions of Python that it was made for, all of them before 3.12 and Python 3.8 among them, as
   gym 0.22's do: a release of the time of Chainer 7.8 (2021) that nobody has adapted to NumPy 2.

A package whose metadata name Python 3.12 or later, and that does not require Chainer, is maintained; its sources are
not read. Metadata: https://packaging.python.org/en/latest/specifications/core-metadata/
"""

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

_IMPORT = re.compile(
    rb"^[ \t]*(?:import[ \t]+(?:[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*,[ \t]*)*|from[ \t]+)(?:chainer|chainermn)\b",
    re.MULTILINE,
)
_REQUIRES = re.compile(r"^Requires-Dist:[ \t]*chainer(?:mn)?(?![\w.-])", re.MULTILINE | re.IGNORECASE)
_PYTHON = re.compile(r"^Classifier: Programming Language :: Python :: 3\.(\d+)[ \t]*$", re.MULTILINE)
_NEEDS = re.compile(r"^Requires-Python:.*>=?[ \t]*3\.(\d+)", re.MULTILINE)
_CHAINERS_LAST_PYTHON = 8
"""Chainer 7.8.1 names Python 3.5 to 3.9; nearly all ran it on 3.8 or earlier."""
_LAST_OLD_PYTHON = 11
"""Python 3.12, of October 2023, came without distutils; NumPy 2.0 followed in June 2024."""
_OWN = "training_job"


class _Metadata(NamedTuple):
    requires_chainer: bool
    is_of_the_time: bool
    is_maintained: bool


def is_of_chainers_time(module: str, file: str) -> bool:
    """Whether the module, whose source is `file`, belongs to an installed package of Chainer's time."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == _OWN:
        return False
    root = _root(module, Path(file))
    metadata = _metadata(top, root.parent)
    return metadata.is_of_the_time or _is_built_on_chainer(top, root)


def is_built_on_chainer(name: str) -> bool:
    """Whether `name` is an installed package that requires or imports Chainer. It is not imported."""
    if name in sys.stdlib_module_names or name == _OWN:
        return False
    spec = PathFinder.find_spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return False
    return _is_built_on_chainer(name, _root(name, Path(spec.origin)))


def _root(module: str, file: Path) -> Path:
    """Return the folder of the module's package, or its file. For a namespace package, that of the part in it."""
    parts = module.split(".")
    if file.stem == "__init__":
        folder, depth = file.parent, len(parts)
    else:
        folder, depth = file.parent, len(parts) - 1
    if depth < 1:
        return file
    folders = [folder, *folder.parents][:depth]
    regular = [found for found in folders if (found / "__init__.py").is_file()]
    return regular[-1] if regular else file


@functools.cache
def _is_built_on_chainer(top: str, root: Path) -> bool:
    metadata = _metadata(top, root.parent)
    if metadata.requires_chainer or metadata.is_maintained:
        return metadata.requires_chainer
    return any(_IMPORT.search(content) for content in _sources(root))


@functools.cache
def _metadata(top: str, site: Path) -> _Metadata:
    """Return what the metadata beside the package say. All False if there are none, as for a file on PYTHONPATH."""
    text = _metadata_text(top, site)
    pythons = [int(minor) for minor in _PYTHON.findall(text)]
    needed = max(map(int, _NEEDS.findall(text)), default=0)
    newest = max(pythons, default=0)
    return _Metadata(
        requires_chainer=_REQUIRES.search(text) is not None,
        is_of_the_time=0 < newest <= _LAST_OLD_PYTHON and needed <= _CHAINERS_LAST_PYTHON,
        is_maintained=newest > _LAST_OLD_PYTHON,
    )


def _metadata_text(top: str, site: Path) -> str:
    """Return the headers of the distribution that has the package: by its own name, else by its list of files."""
    with contextlib.suppress(OSError):
        folders = sorted(path for path in site.iterdir() if path.name.endswith((".dist-info", ".egg-info")))
        same = [path for path in folders if _normal(path.name.partition("-")[0]) == _normal(top)]
        for folder in same or [path for path in folders if _has(path, top)]:
            text = _read(folder / "METADATA") or _read(folder / "PKG-INFO")
            if text:
                return text.partition("\n\n")[0]
    return ""


def _has(folder: Path, top: str) -> bool:
    files = _read(folder / "RECORD")
    return f"\n{top}/__init__.py," in f"\n{files}" or top in _read(folder / "top_level.txt").split()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.removesuffix(".egg").removesuffix(".dist")).lower()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _sources(root: Path) -> Iterator[bytes]:
    """Yield the content of the package's Python files, without unreadable ones."""
    paths = (
        (Path(parent, name) for parent, _, names in os.walk(root) for name in names) if root.is_dir() else iter([root])
    )
    for path in paths:
        if path.suffix == ".py":
            with contextlib.suppress(OSError):
                if path.is_file():
                    yield path.read_bytes()
