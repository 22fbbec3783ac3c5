"""Mends modules while they are imported, and only if they are imported."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

Patcher = Callable[[ModuleType], contextlib.AbstractContextManager[None]]
"""Takes the module that is being imported; entered before its code runs, left when the code has run."""


class Patch(NamedTuple):
    """One thing that is mended in one module."""

    module: str
    """The full name of the module whose import sets the patch off."""
    symptom: str
    """What does not work without it."""
    since: str
    """The version that broke it."""
    fix: str
    """What the patch does about it."""
    apply: Patcher


class PatchFinder(MetaPathFinder):
    """Finds nothing itself: wraps what the other finders find for the modules that have patches."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self._patchers: dict[str, list[Patcher]] = {}
        for patch in patches:
            self._patchers.setdefault(patch.module, []).append(patch.apply)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the other finders' spec with a loader that mends, or None for a module without patches."""
        patchers = self._patchers.get(fullname)
        if patchers is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                _wrap(spec, patchers)
                return spec
        return None


def _wrap(spec: ModuleSpec, patchers: Sequence[Patcher]) -> None:
    """Run the patchers around the execution of the module.

    The loader object stays the same one (`inspect` and `pkgutil` look at it), so the method is set on the instance: a
    loader that came from a path belongs to this module alone.
    """
    loader = spec.loader
    if loader is None:
        return
    run_module = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with contextlib.ExitStack() as stack:
            for patcher in patchers:
                stack.enter_context(patcher(module))
            run_module(module)

    loader.exec_module = exec_module  # type: ignore[method-assign]


def install(finder: MetaPathFinder) -> None:
    """Put the finder before all others, once: a second finder of the same patches would mend twice."""
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
