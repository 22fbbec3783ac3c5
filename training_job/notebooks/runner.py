"""Runs the cells of a notebook in one module `__main__`, as Jupyter's "Restart and run all" does."""

import ast
import linecache
import os
import sys
import traceback
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from training_job import metrics
from training_job.notebooks import ipython, magics
from training_job.notebooks.display import ON_SHOW, Display
from training_job.notebooks.document import Cell

_BACKEND_VARIABLE = "MPLBACKEND"
_BACKEND = "module://training_job.notebooks.figures"


class NotebookRunner:
    """Runs a notebook in this process. Its pictures are written to the folder `outputs`."""

    def __init__(self, path: Path, outputs: Path) -> None:
        self._path = path
        self._display = Display(outputs, path.stem)
        ON_SHOW[:] = [self._display.show_figures]
        # Cells see `__file__`, as the compatibility layer knows a job's own code by it.
        self._module = ModuleType("__main__")
        self._module.__file__ = str(path.absolute())

    def run(self, cells: tuple[Cell, ...]) -> int:
        """Run the cells; return 0, or 1 if a cell raised an exception, which is then reported with its cell and line.

        Raises:
            SystemExit: A cell ended the process.
        """
        sys.modules["__main__"] = self._module
        ipython.install(self._display, lambda text: self._note(magics.LeftOut(0, text)))
        if os.environ.get(_BACKEND_VARIABLE, "agg").lower() == "agg":
            os.environ[_BACKEND_VARIABLE] = _BACKEND
        try:
            for cell in cells:
                self._run_cell(cell)
        except Exception as error:  # noqa: BLE001 - any exception of a cell
            self._report(error)
            return 1
        return 0

    def _run_cell(self, cell: Cell) -> None:
        self._display.start_cell(cell.number)
        source, left_out = magics.to_python(cell.source)
        for magic in left_out:
            self._note(magic)
        name = f"{self._path.name}, cell {cell.number}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        try:
            self._run_source(source, name)
        finally:
            self._display.show_figures()

    def _run_source(self, source: str, name: str) -> None:
        """Run the source of a cell. The value of an expression at its end is shown, unless a semicolon follows."""
        tree = ast.parse(source, name)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
            del tree.body[-1]
            exec(self._compiled(tree, name), vars(self._module))  # noqa: S102 - running a cell is the purpose
            value = eval(  # noqa: S307 - as above
                self._compiled(ast.Expression(last.value), name), vars(self._module)
            )
            if value is not None:
                self._display.show(value)
        else:
            exec(self._compiled(tree, name), vars(self._module))  # noqa: S102 - as above

    @staticmethod
    def _compiled(tree: ast.Module | ast.Expression, name: str) -> CodeType:
        mode = "exec" if isinstance(tree, ast.Module) else "eval"
        return compile(tree, name, mode, dont_inherit=True)

    def _note(self, magic: magics.LeftOut) -> None:
        place = f"{self._path.name}, cell {self._display.cell}" + (f", line {magic.line}" if magic.line else "")
        text = f"{place}: {magic.text} is left out" + (f"; {magic.advice}" if magic.advice else "") + "."
        print(f"kedja: {text}", file=sys.stderr, flush=True)  # noqa: T201 - part of the job's log
        metrics.note(text)

    def _report(self, error: Exception) -> None:
        """Report an exception as Python does at the end of a process, without the frames of this module."""
        frames = traceback.extract_tb(error.__traceback__)
        prefix = f"{self._path.name}, cell "
        places = [f"{frame.filename}, line {frame.lineno}" for frame in frames if frame.filename.startswith(prefix)]
        if places:  # a SyntaxError of a cell names it itself
            error.add_note(f"in {places[-1]}")
        shown: TracebackType | None = error.__traceback__
        while shown is not None and not shown.tb_frame.f_code.co_filename.startswith(prefix):
            shown = shown.tb_next
        sys.excepthook(type(error), error.with_traceback(shown), shown)
