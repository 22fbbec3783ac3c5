"""Provides modules that Python or a library no longer has, to old code alone.

A stand-in is made when old code first imports it. It is then in `sys.modules` as any module, so that other code which
tries to import it later finds it, too.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from training_job.hooks.compat.caller_origin import called_by_old_code

Fill = Callable[[ModuleType], None]
"""Puts names into a stand-in."""


class _Loader(Loader):
    """Fills one stand-in. Each has a loader of its own, as `import_hook` changes the loaders of patched modules."""

    def __init__(self, fill: Fill) -> None:
        self._fill = fill

    def exec_module(self, module: ModuleType) -> None:
        """Fill the stand-in."""
        self._fill(module)


class _LostModules(MetaPathFinder):
    """Stands last on `sys.meta_path`, so that it is asked only for modules that no other finder has."""

    def __init__(self) -> None:
        self._fills: dict[str, Fill] = {}

    def add(self, modules: Mapping[str, Fill]) -> None:
        """Provide these modules, too."""
        self._fills.update(modules)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the stand-in's spec if old code imports it, or None."""
        if fullname not in self._fills or not called_by_old_code():
            return None
        inner = f"{fullname}."
        return ModuleSpec(
            fullname, _Loader(self._fills[fullname]), is_package=any(name.startswith(inner) for name in self._fills)
        )


_FINDER = _LostModules()


def provide(modules: Mapping[str, Fill]) -> None:
    """Provide the modules to old code, by their full names, if they cannot be found otherwise."""
    _FINDER.add(modules)
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


def alias(name: str) -> Fill:
    """Return what fills a stand-in with all names of the module `name`, which has replaced it."""

    def fill(module: ModuleType) -> None:
        today = importlib.import_module(name)
        kept = {key: value for key, value in vars(today).items() if not (key.startswith("__") and key.endswith("__"))}
        vars(module).update(kept)
        if hasattr(today, "__getattr__"):
            vars(module)["__getattr__"] = today.__getattr__

    return fill
