"""`np.load` of pickled objects in a script, with and without `kedja: {allow_pickle: true}`."""

import io
import pickle
from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.drops import Drop, Ended

# pickle.dumps({"mean": "\xe9"}, 2) of Python 2.7: a str with a byte that is not ASCII.
OF_PYTHON_2 = b"\x80\x02}q\x00U\x04meanq\x01U\x01\xe9q\x02s."


def ragged() -> bytes:
    array: Any = np.empty(2, object)
    array[:] = [[1], [2, 3]]
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, plain=np.arange(3), ragged=np.array([[1], None], object), allow_pickle=True)
    return stream.getvalue()


DATA = {"ragged.npy": ragged(), "archive.npz": archive(), "plain.pkl": pickle.dumps([1, 2]), "py2.pkl": OF_PYTHON_2}


def launch(drop: Drop, script: str, *, allowed: bool) -> Ended:
    drop.scripts = {"train.py": f"import os\nimport numpy as np\nos.chdir(os.environ['KEDJA_DATA'])\n{script}"}
    drop.data = DATA
    drop.options = ("--allow-pickle",) if allowed else ()
    return drop.launch("python", "train.py")


def test_a_job_that_is_allowed_loads_pickles(drop: Drop) -> None:
    script = """
print(np.load("ragged.npy").tolist(), np.load("plain.pkl"), np.load("py2.pkl"))
with np.load("archive.npz") as found:
    print(found["ragged"].tolist(), found["plain"].tolist(), sorted(found.files))
with open("py2.pkl", "rb") as stream:
    print(ascii(np.load(stream)["mean"]))
"""
    ended = launch(drop, script, allowed=True)
    assert ended.code == 0, ended.errors
    assert ended.output.splitlines() == [
        "[[1], [2, 3]] [1, 2] {'mean': 'é'}",
        "[[1], None] [0, 1, 2] ['plain', 'ragged']",
        "'\\xe9'",
    ]


@pytest.mark.parametrize(
    "script", ["np.load('ragged.npy')", "np.load('plain.pkl')", "np.load('archive.npz')['ragged']"]
)
def test_another_job_is_told_what_to_do(drop: Drop, script: str) -> None:
    ended = launch(drop, script, allowed=False)
    reason = ended.manifest["reason"]
    assert "To load pickled objects is to run the code that their writer chose." in reason
    assert reason.endswith("set `kedja: {allow_pickle: true}` in job.yaml")


@pytest.mark.parametrize("allowed", [True, False])
def test_what_the_script_chooses_itself_stays(drop: Drop, *, allowed: bool) -> None:
    script = """
print(np.load("plain.pkl", allow_pickle=True), np.load("archive.npz")["plain"].tolist())
np.load("plain.pkl", None, False)
"""
    ended = launch(drop, script, allowed=allowed)
    assert ended.output.strip() == "[1, 2] [0, 1, 2]"
    assert "allow_pickle=" in ended.manifest["reason"]
    assert "job.yaml" not in ended.manifest["reason"]


def test_a_package_that_is_built_on_chainer_loads_pickles(drop: Drop) -> None:
    drop.scripts = {
        "site-packages/vision/__init__.py": "import numpy as np\nimport chainer\ndef load(name): return np.load(name)",
        "train.py": "import os, vision\nprint(vision.load(os.environ['KEDJA_DATA'] + '/plain.pkl'))",
    }
    drop.data = DATA
    drop.options = ("--allow-pickle",)
    ended = drop.launch("python", "train.py", PYTHONPATH=f"{drop.environment()['PYTHONPATH']}:site-packages")
    assert ended.output.strip() == "[1, 2]", ended.errors


def test_another_package_keeps_numpys_default(drop: Drop) -> None:
    drop.scripts = {"site-packages/other.py": "import numpy as np\ndef load(name): return np.load(name)"}
    drop.scripts["train.py"] = "import os, other\nother.load(os.environ['KEDJA_DATA'] + '/plain.pkl')"
    drop.data = DATA
    path = f"{drop.environment()['PYTHONPATH']}:site-packages"
    drop.options = ("--allow-pickle",)
    ended = drop.launch("python", "train.py", PYTHONPATH=path)
    assert "allow_pickle=" in ended.manifest["reason"]
    assert "job.yaml" not in ended.manifest["reason"]


def test_a_file_that_is_no_pickle_fails_as_ever(drop: Drop) -> None:
    ended = launch(drop, "np.load('missing.npy')", allowed=True)
    assert "FileNotFoundError" in ended.manifest["reason"]
    assert "missing.npy" in ended.manifest["reason"]
