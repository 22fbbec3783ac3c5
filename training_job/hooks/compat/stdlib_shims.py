"""Removed names of Python's standard library, for the files of a job that trains with Chainer.

Chainer itself uses none of them. Sources: the "Removed" sections of https://docs.python.org/3/whatsnew/. `distutils` is
not included, as setuptools, which Chainer requires, provides it.
"""

import collections
import collections.abc
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import FrameType, ModuleType
from typing import Any, NamedTuple

from training_job.hooks.compat import caller_origin


class ArgSpec(NamedTuple):
    """The result of `inspect.getargspec`, which Python 3.11 removed."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(function: Callable[..., Any]) -> ArgSpec:
    """Return the function's arguments, as `inspect.getargspec` did.

    Raises:
        ValueError: It has keyword-only arguments or annotations, which the result cannot represent.
    """
    full = inspect.getfullargspec(function)
    if full.kwonlyargs or full.annotations:
        raise ValueError("Function has keyword-only parameters or annotations, use inspect.signature()")
    return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)


def load_source(name: str, pathname: str) -> ModuleType:
    """Import the file `pathname` as module `name`, as `imp.load_source` did, which Python 3.12 removed.

    Raises:
        ImportError: It is not a Python file.
    """
    spec = importlib.util.spec_from_file_location(name, pathname, loader=SourceFileLoader(name, pathname))
    if spec is None or spec.loader is None:
        raise ImportError(f"{pathname} cannot be imported", name=name, path=pathname)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class _ImpFinder(MetaPathFinder, Loader):
    """Finds `imp` if Python does not have it, and only for an `import` in a file of such a job."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the stand-in's spec, or None."""
        if fullname != "imp" or not caller_origin.is_chainer_job_file(_importing(sys._getframe(1)).f_globals):  # noqa: SLF001
            return None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the stand-in."""
        vars(module).update(load_source=load_source, new_module=ModuleType, reload=importlib.reload)


def _importing(frame: FrameType) -> FrameType:
    """Return the frame of the `import` statement: the first one outside of the import system."""
    while str(frame.f_globals.get("__name__", "")).startswith("importlib") and frame.f_back is not None:
        frame = frame.f_back
    return frame


def install() -> None:
    """Serve the removed names. Calling this again has no effect."""
    if getattr(collections, "__getattr__", None) is None:
        abstract = {name: getattr(collections.abc, name) for name in collections.abc.__all__}
        _serve(collections, abstract)
        _serve(inspect, {"getargspec": getargspec})
        sys.meta_path.append(_ImpFinder())


def _serve(module: ModuleType, lost: dict[str, Any]) -> None:
    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 - PEP 562
        caller = sys._getframe(1).f_globals  # noqa: SLF001 - the only way to know the caller
        if name in lost and caller_origin.is_chainer_job_file(caller):
            return lost[name]
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = __getattr__
