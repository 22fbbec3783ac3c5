"""A stand-in for the module `imp`, which Python 3.12 removed.

Source: https://docs.python.org/3.11/library/imp.html, whose replacements are in
https://docs.python.org/3/whatsnew/3.12.html#imp.
"""

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO

PY_SOURCE, PY_COMPILED, C_EXTENSION, PKG_DIRECTORY, C_BUILTIN, PY_FROZEN = 1, 2, 3, 5, 6, 7

Description = tuple[str, str, int]
"""A file's ending, the mode to open it with, and its kind, such as `PY_SOURCE`."""


def get_suffixes() -> list[Description]:
    """Return the descriptions of the files that can be imported."""
    machinery = importlib.machinery
    kinds = (
        (machinery.EXTENSION_SUFFIXES, "rb", C_EXTENSION),
        (machinery.SOURCE_SUFFIXES, "r", PY_SOURCE),
        (machinery.BYTECODE_SUFFIXES, "rb", PY_COMPILED),
    )
    return [(ending, mode, kind) for endings, mode, kind in kinds for ending in endings]


def find_module(name: str, path: Sequence[str] | None = None) -> tuple[IO[str] | IO[bytes] | None, str, Description]:
    """Return the module's open file (None for a package), its path, and what `load_module` needs besides.

    Raises:
        ImportError: There is no such module in the folders of `path`, `sys.path` without it.
    """
    if path is None and name in sys.builtin_module_names:
        return None, name, ("", "", C_BUILTIN)
    for folder in map(os.fspath, sys.path if path is None else path):
        package = Path(folder or ".", name)
        if (package / "__init__.py").is_file():
            return None, str(package), ("", "", PKG_DIRECTORY)
        for ending, mode, kind in get_suffixes():
            file = Path(folder or ".", name + ending)
            if file.is_file():
                return file.open(mode), str(file), (ending, mode, kind)
    raise ImportError(f"No module named {name!r}", name=name)


def load_module(
    name: str,
    file: IO[str] | IO[bytes] | None,  # noqa: ARG001 - it is read by its path
    filename: str,
    details: Description,
) -> ModuleType:
    """Import what `find_module` found, again if it is imported already.

    Raises:
        ImportError: It is nothing that can be imported.
    """
    _, _, kind = details
    if kind == C_BUILTIN:
        return importlib.import_module(name)
    path = Path(filename, "__init__.py") if kind == PKG_DIRECTORY else Path(filename)
    return _load(name, path, [filename] if kind == PKG_DIRECTORY else None)


def load_source(name: str, pathname: str, file: IO[str] | None = None) -> ModuleType:  # noqa: ARG001 - as it was
    """Import the file `pathname` as module `name`.

    Raises:
        ImportError: It cannot be imported.
    """
    return _load(name, Path(pathname), None)


def _load(name: str, path: Path, folders: list[str] | None) -> ModuleType:
    endings = (*importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.BYTECODE_SUFFIXES)
    # Python source may have any ending.
    loader = None if path.name.endswith(endings) else importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported", name=name, path=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def fill(module: ModuleType) -> None:
    """Put the names of `imp` into a stand-in."""
    parts = (find_module, load_module, load_source, get_suffixes)
    vars(module).update({part.__name__: part for part in parts})
    vars(module).update(
        PY_SOURCE=PY_SOURCE, PY_COMPILED=PY_COMPILED, C_EXTENSION=C_EXTENSION, PKG_DIRECTORY=PKG_DIRECTORY,
        C_BUILTIN=C_BUILTIN, PY_FROZEN=PY_FROZEN, new_module=ModuleType, reload=importlib.reload,
        load_compiled=load_source, acquire_lock=lambda: None, release_lock=lambda: None, lock_held=lambda: False,
    )  # fmt: skip
