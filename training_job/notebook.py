"""`python -m training_job.notebook NOTEBOOK.ipynb [ARGUMENT …]`: runs a notebook's cells as a script.

The arguments become `sys.argv`, as those of a script. Pictures are written to `./outputs`. The exit code is 1 if a cell
raised an exception, 65 if the file is not a notebook in Python, else what a cell ended the process with, or 0.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from training_job import metrics
from training_job.errors import EXIT_INVALID_INPUT, NotebookError
from training_job.notebooks import document
from training_job.notebooks.runner import NotebookRunner

_USAGE = "usage: python -m training_job.notebook NOTEBOOK.ipynb [ARGUMENT ...]"
_EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the notebook that the arguments name, in the current folder. Return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        print(_USAGE, file=sys.stderr)  # noqa: T201 - a command's message
        return _EXIT_USAGE
    path = Path(arguments[0])
    try:
        cells = document.read(path)
    except NotebookError as error:
        print(f"kedja: {error}", file=sys.stderr)  # noqa: T201 - as above
        metrics.failure(str(error), refused=True)
        return EXIT_INVALID_INPUT
    sys.argv[:] = arguments
    return NotebookRunner(path, Path("outputs")).run(cells)


if __name__ == "__main__":
    sys.exit(main())
