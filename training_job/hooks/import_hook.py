"""Mends modules while they are imported, and only if they are imported."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

Mend = Callable[[ModuleType], contextlib.AbstractContextManager[None]]
"""Takes the module that is being imported; entered before its code runs, left when the code has run."""


class Patch(NamedTuple):
    """One thing that is mended in one module."""

    module: str
    """The full name of the module whose import sets the patch off."""
    broke: str
    """What does not work without it."""
    since: str
    """The version that broke it."""
    mended: str
    """What the patch does about it."""
    mend: Mend


class PatchFinder(MetaPathFinder):
    """Finds nothing itself: wraps what the other finders find for the modules that have patches."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self._mends: dict[str, list[Mend]] = {}
        for patch in patches:
            self._mends.setdefault(patch.module, []).append(patch.mend)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the other finders' spec with a loader that mends, or None for a module without patches."""
        mends = self._mends.get(fullname)
        if mends is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                _wrap(spec, mends)
                return spec
        return None


def _wrap(spec: ModuleSpec, mends: Sequence[Mend]) -> None:
    """Run the mends around the execution of the module.

    The loader object stays the same one (`inspect` and `pkgutil` look at it), so the method is set on the instance: a
    loader that came from a path belongs to this module alone.
    """
    loader = spec.loader
    if loader is None:
        return
    run_module = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with contextlib.ExitStack() as stack:
            for mend in mends:
                stack.enter_context(mend(module))
            run_module(module)

    loader.exec_module = exec_module  # type: ignore[method-assign]


def install(finder: MetaPathFinder) -> None:
    """Put the finder before all others, once: a second finder of the same patches would mend twice."""
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
