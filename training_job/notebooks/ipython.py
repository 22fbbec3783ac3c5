"""What notebooks expect of IPython: `display` and `get_ipython` without an import, and `IPython.display`.

IPython itself is not part of the environment of jobs. If a drop's requirements bring it, its own modules are imported.
"""

import builtins
import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder
from training_job.notebooks.display import Display


class Shown:
    """A value to show, such as `HTML(text)`: it is only named in the log."""

    def __init__(self, data: object = None, *_: object, **__: object) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of a notebook, which a job does not show>"


class Image(Shown):
    """A picture as bytes or in a file."""

    def __init__(self, data: object = None, *_: object, filename: str | None = None, **__: object) -> None:
        super().__init__(data)
        self.filename = filename

    def _repr_png_(self) -> bytes | None:
        name = self.filename or (self.data if isinstance(self.data, str) else None)
        content = Path(name).read_bytes() if name is not None and Path(name).is_file() else self.data
        return content if isinstance(content, bytes) and content.startswith(b"\x89PNG") else None


class Shell:
    """What `get_ipython()` returns. Magics that are called by their names are left out, as those in cells."""

    def __init__(self, leave_out: Callable[[str], None]) -> None:
        self._leave_out = leave_out

    def run_line_magic(self, name: str, line: str = "", *_: object, **__: object) -> None:
        """Leave out a line magic."""
        self._leave_out(f"%{name} {line}".rstrip())

    def magic(self, line: str) -> None:
        """Leave out a line magic, by the name of the method in old versions."""
        self._leave_out(f"%{line}")

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """Leave out a cell magic with its cell."""
        del cell
        self._leave_out(f"%%{name} {line}".rstrip())

    def system(self, command: str) -> None:
        """Leave out a shell command."""
        self._leave_out(f"!{command}")

    def getoutput(self, command: str, *_: object, **__: object) -> list[str]:
        """Leave out a shell command; return no lines."""
        self._leave_out(f"!{command}")
        return []


def install(display: Display, leave_out: Callable[[str], None]) -> None:
    """Provide the names in this process. `leave_out` is called with each magic that is left out."""
    shell = Shell(leave_out)

    def get_ipython() -> Shell | None:
        # Libraries such as matplotlib ask whether there is a shell, which they would want to control.
        is_cell = sys._getframe(1).f_globals.get("__name__") == "__main__"  # noqa: SLF001 - there is no other way
        return shell if is_cell else None

    names: dict[str, Any] = {"display": display.show, "get_ipython": get_ipython}
    vars(builtins).update(names)
    import_hook.install(_FINDER)
    if importlib.util.find_spec("IPython") is not None:
        return
    shown = _module("IPython.display", display=display.show, Image=Image, clear_output=_clear_output)
    shown.__getattr__ = _shown_class  # type: ignore[method-assign] # PEP 562
    core = _module("IPython.core", display=shown)
    sys.modules["IPython.core.display"] = shown
    # Matplotlib compares the version.
    _module("IPython", display=shown, core=core, get_ipython=get_ipython, version_info=(9, 0, 0), __path__=[])


@contextlib.contextmanager
def _text_bars(module: ModuleType) -> Iterator[None]:
    yield
    if module.IProgress is None:
        module.tqdm = module.tqdm_notebook = sys.modules["tqdm.std"].tqdm  # type: ignore[attr-defined]


_FINDER = PatchFinder(
    (
        Patch(
            module="tqdm.notebook",
            symptom="raises ImportError for each bar without Jupyter's ipywidgets",
            since="-",
            fix="the bars of a terminal",
            apply=_text_bars,
        ),
    )
)


def _module(name: str, **names: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module
    return module


def _shown_class(name: str) -> type[Shown]:
    """Return a class for `HTML`, `SVG`, `Markdown`, `Audio` and the like."""
    if not name[:1].isupper():
        raise AttributeError(f"module 'IPython.display' has no attribute {name!r}")
    return type(name, (Shown,), {})


def _clear_output(*_: object, **__: object) -> None:
    """Do nothing: a log is not cleared."""
