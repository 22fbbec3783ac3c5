"""What a notebook shows: pictures become PNG files in `outputs/`, everything else becomes text in the log.

The files are called `<notebook>-cell-<number>-<count>.png`, in the order in which they are shown.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ON_SHOW: list[Callable[[], None]] = []
"""What `plt.show()` calls; see `figures`."""
_DIGITS = 2


class Display:
    """Shows values of one notebook. `cell` is the number of the cell that runs."""

    def __init__(self, outputs: Path, notebook: str) -> None:
        self.cell = 0
        self._outputs = outputs
        self._notebook = notebook
        self._count = 0

    def start_cell(self, number: int) -> None:
        """Number the pictures of the following cell from 1."""
        self.cell, self._count = number, 0

    def show(self, *values: Any, **_: object) -> None:  # noqa: ANN401 - any value, as of IPython's display
        """Show values: a figure or a picture as a file, others as text."""
        for value in values:
            png = None if isinstance(value, type) else getattr(value, "_repr_png_", None)
            content = png() if png is not None else None
            if _is_figure(value):
                self._save_figure(value)
            elif isinstance(content, bytes):
                self._next_path().write_bytes(content)
            else:
                print(repr(value))  # noqa: T201 - part of the job's log

    def show_figures(self) -> None:
        """Save and close the open figures, as Jupyter does at `plt.show()` and at the end of a cell."""
        helpers, pyplot = sys.modules.get("matplotlib._pylab_helpers"), sys.modules.get("matplotlib.pyplot")
        if helpers is None or pyplot is None:
            return
        for manager in helpers.Gcf.get_all_fig_managers():
            if manager.canvas.figure.get_axes():
                self._save_figure(manager.canvas.figure)
        pyplot.close("all")

    def _save_figure(self, figure: Any) -> None:  # noqa: ANN401 - a figure of matplotlib, which may not be installed
        figure.savefig(self._next_path(), format="png", bbox_inches="tight")
        if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
            pyplot.close(figure)

    def _next_path(self) -> Path:
        self._count += 1
        path = self._outputs / f"{self._notebook}-cell-{self.cell:0{_DIGITS}}-{self._count}.png"
        self._outputs.mkdir(exist_ok=True)
        print(f"kedja: a picture of cell {self.cell} is {path.name}")  # noqa: T201 - as above
        return path


def _is_figure(value: object) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)
