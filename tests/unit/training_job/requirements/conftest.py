"""Fixtures: an index in a folder, and the preparation of jobs with packages from it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from training_job.requirements import preparation, uv, venv
from training_job.requirements.job_packages import JobPackages
from training_job.requirements.outcome import Outcome

ROOT = Path(__file__).parents[4]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the only place where packages are found."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "KEDJA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv(uv.VARIABLE, str(ROOT / ".venv-tools/bin/uv"))
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return the folder of a job."""
    folder = tmp_path / "job"
    (folder / ".kedja").mkdir(parents=True)
    return folder


@pytest.fixture
def prepare(top: Path) -> Callable[..., Outcome]:
    """Return a function that writes files, and prepares the job."""

    def run(text: str = "", /, script: str = "train.py", named: str | None = None, **files: str) -> Outcome:
        for name, content in ({"requirements.txt": text} if text else files).items():
            (top / name).write_text(content)
        outcome = preparation.prepare(
            top, top / ".kedja", PurePosixPath(script), None if named is None else PurePosixPath(named)
        )
        assert outcome is not None
        return outcome

    return run


@pytest.fixture
def imported(top: Path) -> Callable[[str], str]:
    """Return a function that prints an expression in the job's Python."""

    def run(code: str) -> str:
        python = venv.python(JobPackages(top / ".kedja").own)
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).strip()

    return run
