"""Which code gets removed names: by its path, and by the files in the job's folder."""

import os
from pathlib import Path

import pytest

from tests.unit.training_job.drops import Drop
from training_job.hooks.compat import caller_origin


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a job where `make up` puts it: below a `.kedja` that isn't the job's."""
    folder = tmp_path / ".kedja/training/jobs/digits/work"
    folder.mkdir(parents=True)
    monkeypatch.setenv(caller_origin.JOB_VARIABLE, str(folder))
    return folder


def test_a_helper_of_a_job_below_a_folder_of_kedjas_gets_the_lost_names(tmp_path: Path) -> None:
    drop = Drop(tmp_path / ".kedja/jobs")
    drop.root.mkdir(parents=True)
    drop.scripts = {"train.py": "import chainer, helper", "helper.py": "import numpy as np\nprint(np.float)"}
    ended = drop.launch("python", "train.py")
    assert ended.output == "<class 'float'>\n", ended.errors


def test_a_job_below_a_folder_of_kedjas_is_looked_through(job: Path) -> None:
    (job / "train.py").write_text("import chainer")
    assert caller_origin.in_chainer_job()


@pytest.mark.parametrize("folder", [".kedja/packages", "venv/lib/site-packages", "outputs", "logs"])
def test_what_is_not_the_jobs_own_is_not_looked_through(job: Path, folder: str) -> None:
    (job / folder).mkdir(parents=True)
    (job / folder / "x.py").write_text("import chainer")
    assert not caller_origin.in_chainer_job()


def test_what_cannot_be_read_is_passed_over(job: Path) -> None:
    (job / "a.py").mkdir()
    (job / "b.py").symlink_to("nowhere")
    (job / "c.py").symlink_to("c.py")
    os.mkfifo(job / "d.py")
    (job / "src").mkdir()
    assert not caller_origin.in_chainer_job()
    caller_origin.imports_chainer.cache_clear()
    (job / "src/train.py").write_text("from chainer import links")
    assert caller_origin.in_chainer_job()


PACKAGE = """
import collections, imp
import numpy as np
FOUND = np.float, collections.Iterable.__name__, np.array([[1], [1, 2]]).shape
"""
MODERN = """
import collections, numpy as np
FOUND = [hasattr(np, "asscalar"), hasattr(collections, "Iterable")]
"""
METADATA = "Metadata-Version: 2.1\nName: oldgym\nClassifier: Programming Language :: Python :: 3.8\n"


def test_installed_packages_that_import_chainer_or_are_of_its_time_get_them_in_a_job(drop: Drop) -> None:
    drop.scripts = {
        "train.py": "import modern, speech, oldgym; print(speech.FOUND, oldgym.FOUND, modern.FOUND)",
        "site-packages/speech/__init__.py": PACKAGE,
        "site-packages/speech/nets.py": "import chainer",
        "site-packages/oldgym/__init__.py": PACKAGE,
        "site-packages/oldgym-1.0.dist-info/METADATA": METADATA,
        "site-packages/modern/__init__.py": MODERN,
    }
    path = f"{drop.environment()['PYTHONPATH']}:site-packages"
    ended = drop.launch("python", "-W", "ignore", "train.py", PYTHONPATH=path)
    same = "(<class 'float'>, 'Iterable', (2,))"
    assert ended.output.strip() == f"{same} {same} [False, False]", ended.errors
