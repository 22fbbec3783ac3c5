import ast

import pytest

from training_job.notebooks.magics import to_python


@pytest.mark.parametrize(
    ("cell", "python", "left_out"),
    [
        ("x = 1", "x = 1", []),
        ("%matplotlib inline\nx = 1", "pass\nx = 1", ["%matplotlib inline"]),
        ("for f in x:\n    !ls {f}\n    y(f)", "for f in x:\n    pass\n    y(f)", ["!ls {f}"]),
        ("files = !ls\nx, y = %who", "files = []\nx, y = None", ["files = !ls", "x, y = %who"]),
        ("?print\nprint??\nx.y?", "pass\npass\npass", ["?print", "print??", "x.y?"]),
        ("!pip install a \\\n  b\nx = 1", "pass\n\nx = 1", ["!pip install a \\"]),
        ("text = '''\n%matplotlib inline\n!ls\n'''", "text = '''\n%matplotlib inline\n!ls\n'''", []),
        ("x = (5\n%3)", "x = (5\n%3)", []),
        ("%time train(1)\n%timeit -n 10 -r3 f()", "train(1)\nf()", []),
        ("%%time\ntrain(1)", "\ntrain(1)", ["%%time"]),
        ("\n%%bash\nrm -r x", "", ["%%bash"]),
        ("%cd sub\nx ! y", "pass\nx ! y", ["%cd sub"]),
        ("  if x:\n    y\n  %cd z", "if x:\n  y\npass", ["%cd z"]),
        ("", "", []),
    ],
)
def test_a_cell_as_python(cell: str, python: str, left_out: list[str]) -> None:
    found, magics = to_python(cell)
    assert found.rstrip("\n") == python
    assert [magic.text for magic in magics] == left_out


def test_the_line_of_what_is_left_out() -> None:
    _, magics = to_python("x = 1\n\n%load_ext autoreload\n%autoreload 2")
    assert [magic.line for magic in magics] == [3, 4]


@pytest.mark.parametrize(
    "line", ["!pip install x", "%pip install x", "!python3 -m pip install x", "!sudo pip3 install x"]
)
def test_packages_belong_into_a_requirements_file(line: str) -> None:
    _, (magic,) = to_python(line)
    assert magic.advice == "name the packages in requirements.txt beside the notebook"


def test_pylab_is_its_imports() -> None:
    python, left_out = to_python("%pylab inline\nplot([1])")
    assert "from matplotlib.pylab import *" in python.splitlines()[0]
    assert left_out == []
    ast.parse(python)
