import io
import json
import zipfile
from collections.abc import Mapping

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Receipt, Status
from tests.unit.simulation import World

NOTEBOOK = {
    "nbformat": 4,
    "metadata": {},
    "cells": [{"cell_type": "code", "source": "%matplotlib inline\nimport chainer"}],
}
DRIVER = NOTEBOOK | {
    "cells": [
        {"cell_type": "code", "source": "from azureml.core import Experiment, Workspace, ScriptRunConfig"},
        {"cell_type": "code", "source": "run = experiment.submit(ScriptRunConfig(script='fit.py'))"},
    ]
}


def settled(world: World, scripts: Mapping[str, str | bytes]) -> Receipt:
    """Drop scripts and data; return the newest receipt."""
    for name, content in scripts.items():
        world.drop(f"scripts/digits/{name}", content.encode() if isinstance(content, str) else content)
    world.drop("data/digits/x.npz", b"x")
    world.rest()
    return world.receipts()[-1]


def command(receipt: Receipt) -> str:
    assert receipt.spec is not None
    return str(receipt.spec["command"])


def test_a_notebook_is_a_script(world: World) -> None:
    receipt = settled(world, {"fit.ipynb": json.dumps(NOTEBOOK), "job.yaml": "kedja: {arguments: {epochs: 3}}"})
    assert receipt.status is Status.SUBMITTED
    assert command(receipt).endswith("-- python -m training_job.notebook fit.ipynb --epochs 3")
    assert world.blobs.get(naming.SNAPSHOTS, f"digits/{receipt.drop}/scripts/fit.ipynb") is not None


def test_a_notebook_that_only_submits_a_script_names_it(world: World) -> None:
    receipt = settled(world, {"run.ipynb": json.dumps(DRIVER)})
    assert receipt.status is Status.REJECTED
    assert receipt.reason == (
        "run.ipynb trains nothing itself: it submits a job by Azure ML's SDK v1, which was retired."
    )
    assert str(receipt.what_to_do).startswith("Drop fit.py into scripts/digits/: ")
    assert not world.training.jobs
    assert command(settled(world, {"fit.py": "print(1)"})).endswith("-- python fit.py")


@pytest.mark.parametrize(
    ("cell", "entry"), [("import helper", "python -m training_job.notebook fit.ipynb"), ("", "python helper.py")]
)
def test_a_script_that_a_notebook_imports_is_not_the_one_to_run(world: World, cell: str, entry: str) -> None:
    text = json.dumps(NOTEBOOK | {"cells": [{"cell_type": "code", "source": cell}]})
    receipt = settled(world, {"helper.py": "x = 1", "fit.ipynb": text})
    assert command(receipt).endswith(f"-- {entry}")


def test_a_file_that_is_no_notebook(world: World) -> None:
    receipt = settled(world, {"fit.ipynb": "print(1)"})
    assert (receipt.status, receipt.reason) == (Status.REJECTED, "fit.ipynb is not a notebook.")


def test_a_notebook_of_python_2_names_its_cell(world: World) -> None:
    text = json.dumps(NOTEBOOK | {"cells": [{"cell_type": "code", "source": x} for x in ("%time x", "y\nprint 'a'")]})
    receipt = settled(world, {"fit.ipynb": text})
    assert str(receipt.reason).startswith("fit.ipynb, cell 2, line 2 is Python 2, which jobs do not run: \"print 'a'\"")


@pytest.mark.parametrize(
    ("scripts", "place"),
    [
        ({"train.py": "import os\nprint 'a'\n"}, "train.py, line 2"),
        ({"train.py": "import lib.net", "lib/net.py": "x = 1\nx <> 1", "lib/__init__.py": ""}, "lib/net.py, line 2"),
        ({"train.py": "from a import b", "a/b.py": "from . import c", "a/c.py": "\n\n10L"}, "a/c.py, line 3"),
        ({"train.py": "try:\n    import b\nexcept SyntaxError:\n    pass", "b.py": "print 1"}, None),
        ({"train.py": "from past import autotranslate\nimport b", "b.py": "print 1"}, None),
        ({"train.py": "import json", "json.py": "print 1"}, None),
        ({"train.py": "x = 1", "old.py": "print 1"}, None),
        ({"train.py": "x = (", "old.py": "print 1"}, None),
        ({"train.py": "#" * (300 << 10) + "\nprint 1"}, None),
        ({"train.py": "print 1", "job.yaml": "environment: {image: python:2.7}"}, None),
        ({"train.py": "print 1", "job.yaml": "command: python2 train.py"}, None),
        ({"src/go.py": "print 1", "job.yaml": "code: src"}, "src/go.py, line 1"),
    ],
)
def test_python_2_is_refused_before_a_node_is_paid_for(
    world: World, scripts: dict[str, str], place: str | None
) -> None:
    receipt = settled(world, scripts)
    assert receipt.status is (Status.SUBMITTED if place is None else Status.REJECTED)
    assert len(world.training.jobs) == (place is None)
    if place is not None:
        assert str(receipt.reason).startswith(f"{place} is Python 2, which jobs do not run: ")
        assert "fissix" in str(receipt.what_to_do)


def test_python_2_in_an_archive(world: World) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("repository/train.py", "import net\n")
        archive.writestr("repository/net.py", "raise ValueError, 'x'\n")
    receipt = settled(world, {"all.zip": stream.getvalue()})
    assert str(receipt.reason).startswith("net.py, line 1 is Python 2")


def test_tabs_and_spaces_are_not_for_2to3(world: World) -> None:
    receipt = settled(world, {"train.py": "if 1:\n        x = 1\n\ty = 2\n"})
    assert "train.py, line 3" in str(receipt.reason)
    assert receipt.what_to_do == "Indent with spaces alone, and drop it again."


def test_a_dry_run_says_so_too(world: World) -> None:
    world.drop("scripts/digits/train.py", b"print 'a'\n")
    world.drop("data/digits/x.npz", b"x")
    dry = world.kedja.job_commands.dry_run({"experiment_name": "digits"}, code=True)
    assert dry.status is Status.REJECTED
    assert str(dry.reason).startswith("train.py, line 1 is Python 2")
