"""Patches modules when they are imported."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

Patcher = Callable[[ModuleType], contextlib.AbstractContextManager[None]]
"""Takes the module that is being imported. Entered before its code runs, left afterwards."""


class Patch(NamedTuple):
    """A patch of one module."""

    module: str
    """The full name of the module whose import applies the patch."""
    symptom: str
    """What does not work without the patch."""
    since: str
    """The version that introduced the problem."""
    fix: str
    """What the patch does."""
    apply: Patcher


class PatchFinder(MetaPathFinder):
    """Wraps the specs that other finders return for the modules of `patches`."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self._patchers: dict[str, list[Patcher]] = {}
        for patch in patches:
            self._patchers.setdefault(patch.module, []).append(patch.apply)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the other finders' spec with a patching loader, or None for a module without patches."""
        patchers = self._patchers.get(fullname)
        if patchers is None:
            return None
        for finder in self._following():
            spec: ModuleSpec | None = finder.find_spec(fullname, path, target)
            if spec is not None:
                _wrap(spec, patchers)
                return spec
        return None

    def _following(self) -> list[Any]:
        """Return the finders after this one. Those before it may be asking, if they patch the same module."""
        index = sys.meta_path.index(self) + 1 if self in sys.meta_path else 0
        return [finder for finder in sys.meta_path[index:] if finder is not self]


def lazily(path: str, function: str) -> Patcher:
    """Return the patcher that a module has under this name; the module is imported when the patch is applied."""

    @contextlib.contextmanager
    def patcher(module: ModuleType) -> Iterator[None]:
        patch: Patcher = getattr(import_module(path), function)
        with patch(module):
            yield

    return patcher


def afterwards(path: str, function: str, applies: Callable[[], bool] = lambda: True) -> Patcher:
    """Return a patcher that calls a module's function with the imported module, if it `applies` by then.

    The module with the function is imported only for that.
    """

    @contextlib.contextmanager
    def patcher(module: ModuleType) -> Iterator[None]:
        yield
        if applies():
            getattr(import_module(path), function)(module)

    return patcher


def _wrap(spec: ModuleSpec, patchers: Sequence[Patcher]) -> None:
    """Run the patchers around the execution of the module.

    The loader object stays the same, as `inspect` and `pkgutil` use it, so the method is set on the instance. A loader
    of a path-based finder belongs to one module only.
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
    """Put the finder before all others. Installing the same finder again has no effect."""
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
