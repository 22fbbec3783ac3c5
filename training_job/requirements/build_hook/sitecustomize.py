# ruff: noqa: INP001 - the folder stands on the path itself and is no package
"""Python imports this at startup when a package is built from its source for a job.

Setup scripts of old packages import NumPy without asking for it, so the job's environment stands last on the path.
With KEDJA_BUILD_WITHOUT_EXTENSIONS the extensions in C are left out, for packages that work without them.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

sys.path += [entry for entry in os.environ.get("KEDJA_BUILD_PACKAGES", "").split(os.pathsep) if entry]


class _Patched(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        distribution: Any = module.__dict__["Distribution"]
        distribution.has_ext_modules = lambda _: False


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "setuptools.dist":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patched(spec.loader)
        return spec


if os.environ.get("KEDJA_BUILD_WITHOUT_EXTENSIONS"):
    sys.meta_path.insert(0, _Finder())
