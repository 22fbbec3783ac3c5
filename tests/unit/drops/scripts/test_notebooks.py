import json
from typing import Any

import pytest

from function_app.drops.scripts import notebooks


def notebook(*cells: str, **metadata: Any) -> bytes:  # noqa: ANN401 - JSON
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"nbformat": 4, "metadata": metadata, "cells": [{"cell_type": "markdown"}, *code]}).encode()


def test_cells_without_magics() -> None:
    found = notebooks.cells(
        notebook("%matplotlib inline\nx = !ls `pwd`\ny", "%%time\nf()", "%%bash\necho `x`", "!a \\\n  `b`\nz?", "")
    )
    assert found == ["pass\npass\ny\n", "\nf()\n", "", "pass\n\npass\n", "\n"]


def test_a_notebook_of_version_3() -> None:
    sheet = {"cells": [{"cell_type": "code", "language": "python", "input": ["a\n", "b"]}]}
    assert notebooks.cells(json.dumps({"nbformat": 3, "worksheets": [sheet]}).encode()) == ["a\nb\n"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"print(1)", "is not a notebook"),
        (b"[]", "is not a notebook"),
        (b'{"nbformat": 4}', "is not a notebook"),
        (b"[" * 100_000, "is not a notebook"),
        (b'{"nbformat": 2, "cells": []}', "has nbformat 2"),
        (notebook("a", "1", kernelspec={"language": "R"}), "has a cell, number 1, of the language R"),
        (notebook("", "1", language_info={"name": "julia"}), "has a cell, number 2, of the language julia"),
    ],
)
def test_what_is_no_notebook_in_python(content: bytes, problem: str) -> None:
    with pytest.raises(notebooks.InvalidNotebook, match=problem):
        notebooks.cells(content)


SUBMIT = "from azureml.core import Experiment, Workspace\nrun = Experiment(Workspace.from_config(), 'x').submit(job)"


@pytest.mark.parametrize(
    ("cells", "script"),
    [
        ([SUBMIT, "job = Chainer(source_directory='.', entry_script='chainer_mnist.py')"], "chainer_mnist.py"),
        (
            ["job = ScriptRunConfig(script='src/a.py')", SUBMIT, "InferenceConfig(entry_script='score.py')"],
            "src/a.py",
        ),
        ([SUBMIT, "InferenceConfig(entry_script='score.py')"], ""),
        (["%%writefile fit.py\nimport chainer", SUBMIT, "ScriptRunConfig(script='fit.py')"], "fit.py"),
        ([SUBMIT, "import chainer.links as L"], None),
        (["from azureml.core import Workspace\nws = Workspace.from_config()"], None),
        (["import numpy", "pool.submit(f)"], None),
    ],
)
def test_a_notebook_that_only_submits_a_script(cells: list[str], script: str | None) -> None:
    assert notebooks.submitted_script(notebooks.cells(notebook(*cells))) == script


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import utils", True),
        ("import os, utils as u", True),
        ("from utils import f", True),
        ("import utils2", False),
        ("x.import_utils()", False),
    ],
)
def test_imports_of_a_module(line: str, *, expected: bool) -> None:
    assert notebooks.imports([f"x = 1\n{line}\n"], "utils") is expected
