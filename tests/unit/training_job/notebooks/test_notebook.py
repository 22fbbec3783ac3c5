import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training_job.drops import Drop, Ended

ADVICE = (
    "train.ipynb, cell 1, line 2: !pip install x is left out; "
    "name the packages in requirements.txt beside the notebook."
)
PNG = b"\x89PNG\r\n\x1a\n"
needs_matplotlib = pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")


def notebook(*cells: str, **metadata: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 2,
            "metadata": metadata,
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "source": ["# Title"]},
                *({"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []} for cell in cells),
            ],
        }
    )


def run(drop: Drop, text: str, *arguments: str, helpers: dict[str, str] | None = None) -> Ended:
    drop.scripts = {"train.ipynb": text, **(helpers or {})}
    return drop.launch("python", "-m", "training_job.notebook", "train.ipynb", *arguments)


def test_cells_run_in_one_module(drop: Drop) -> None:
    ended = run(
        drop,
        notebook(
            "import sys, helper\nx = helper.WORD\ndef f():\n    return x",
            "import pickle\nprint(__name__, sys.argv, pickle.loads(pickle.dumps(f))())",
            "f()",
            "f();",
            "f() if x else None\ny = 1",
        ),
        "--epochs",
        "3",
        helpers={"helper.py": "WORD = 'found'"},
    )
    assert ended.output.splitlines() == ["__main__ ['train.ipynb', '--epochs', '3'] found", "'found'"]
    assert (ended.code, ended.manifest["notes"]) == (0, [])


def test_a_notebook_of_version_3(drop: Drop) -> None:
    cells = [
        {"cell_type": "code", "language": "python", "input": ["print(1)\n", "print(2)"]},
        {"cell_type": "heading", "level": 1, "source": ["x"]},
        {"cell_type": "code", "language": "python", "input": "print(3)"},
    ]
    ended = run(drop, json.dumps({"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}))
    assert (ended.code, ended.output) == (0, "1\n2\n3\n")


def test_what_is_left_out_is_noted(drop: Drop) -> None:
    ended = run(drop, notebook("%matplotlib inline\n!pip install x\nprint(1)", "get_ipython().magic('cd x')"))
    assert (ended.code, ended.output) == (0, "1\n")
    assert ended.manifest["notes"] == [
        "train.ipynb, cell 1, line 1: %matplotlib inline is left out.",
        ADVICE,
        "train.ipynb, cell 2: %cd x is left out.",
    ]


@pytest.mark.parametrize(
    ("cells", "reason", "line"),
    [
        (("x = 1", "%time\n\n1 / 0"), "ZeroDivisionError: division by zero (in train.ipynb, cell 2, line 3)", "1 / 0"),
        (("def f():\n    raise OSError('no')", "f()"), "OSError: no (in train.ipynb, cell 1, line 2)", "raise OSError"),
        (("x = 1\ny = = 2",), "SyntaxError: invalid syntax (train.ipynb, cell 1, line 2)", "y = = 2"),
    ],
)
def test_an_exception_names_its_cell_and_line(drop: Drop, cells: Sequence[str], reason: str, line: str) -> None:
    ended = run(drop, notebook(*cells))
    assert ended.code == 1
    assert ended.manifest["reason"] == f"the script ended with {reason}"
    assert line in ended.errors
    assert "notebooks/runner.py" not in ended.errors


def test_a_cell_may_end_the_process(drop: Drop) -> None:
    ended = run(drop, notebook("import sys\nsys.exit(3)", "print('ran')"))
    assert (ended.code, ended.output) == (3, "")
    assert ended.manifest["reason"] == "the script ended with exit code 3"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "train.ipynb is not a notebook: JSONDecodeError"),
        ("{}", "train.ipynb is not a notebook: KeyError('nbformat')"),
        ('{"nbformat": 2}', "train.ipynb has nbformat 2: open it in Jupyter and save it as version 4"),
        (notebook("1", kernelspec={"language": "R"}), "train.ipynb, cell 1 is R: only notebooks in Python can be run"),
        (notebook("1", language_info={"name": "julia"}), "train.ipynb, cell 1 is julia"),
    ],
)
def test_what_is_no_notebook_in_python_is_refused(drop: Drop, text: str, reason: str) -> None:
    ended = run(drop, text)
    assert (ended.code, ended.manifest["result"]) == (65, "refused")
    assert ended.manifest["reason"].startswith(reason)


def test_a_cell_that_writes_a_file(drop: Drop) -> None:
    ended = run(drop, notebook("%%writefile net.py\nWORD = 'written'", "import net\nprint(net.WORD)"))
    assert (ended.code, ended.output) == (0, "written\n")


def test_display_without_ipython(drop: Drop) -> None:
    ended = run(
        drop,
        notebook(
            "from IPython.display import HTML, Image, clear_output\nimport PIL.Image",
            "display(1, 'text')\nclear_output(wait=True)\nHTML('<b>')",
            "picture = PIL.Image.new('RGB', (2, 2))\npicture",
            "display(picture)\ndisplay(Image(picture._repr_png_()))",
        ),
    )
    assert ended.output.splitlines()[:3] == ["1", "'text'", "<HTML of a notebook, which a job does not show>"]
    assert ended.files == ["train-cell-03-1.png", "train-cell-04-1.png", "train-cell-04-2.png"]
    for name in ended.files:
        assert (ended.folder / "outputs" / name).read_bytes().startswith(PNG)


def test_removed_names_of_numpy(drop: Drop) -> None:
    ended = run(drop, notebook("import numpy as np", "print(np.int(3))", "import chainer"))
    assert (ended.code, ended.output) == (0, "3\n")


@needs_matplotlib
def test_figures_in_the_order_of_cells(drop: Drop) -> None:
    ended = run(
        drop,
        notebook(
            "%matplotlib inline\nimport matplotlib.pyplot as plt",
            "plt.plot([1, 2])\nplt.show()\nplt.plot([2, 1])\nplt.show()",
            "figure, axes = plt.subplots()\naxes.plot([1])\nfigure",
            "plt.figure()\nplt.hist([1, 2]);",
            "plt.figure();",
        ),
    )
    assert ended.code == 0, ended.errors
    assert ended.files == [f"train-cell-0{name}.png" for name in ("2-1", "2-2", "3-1", "4-1")]
    assert (ended.folder / "outputs/train-cell-02-1.png").read_bytes() != (
        ended.folder / "outputs/train-cell-02-2.png"
    ).read_bytes()


@needs_matplotlib
def test_the_figure_of_a_cell_that_failed(drop: Drop) -> None:
    ended = run(drop, notebook("import matplotlib.pyplot as plt\nplt.plot([1])\nraise ValueError('after')"))
    assert (ended.code, ended.files) == (1, ["train-cell-01-1.png"])


@pytest.mark.skipif(not importlib.util.find_spec("tqdm"), reason="needs tqdm")
def test_bars_of_a_notebook(drop: Drop) -> None:
    ended = run(drop, notebook("from tqdm.notebook import tqdm, trange\nprint(sum(tqdm([1, 2])), sum(trange(3)))"))
    assert (ended.code, ended.output) == (0, "3 3\n"), ended.errors


def test_no_notebook_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from training_job import notebook as command  # noqa: PLC0415 - beside the helper of this name

    assert command.main([]) == 2
    assert command.main(["--help"]) == 2
    assert "usage: python -m training_job.notebook" in capsys.readouterr().err
