"""Fixtures of the tests of training_job, which run in the environment of jobs, without the service's conftest.

`.venv-training/bin/python -m pytest --confcutdir=tests/unit/training_job tests/unit/training_job`
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import training_job  # noqa: F401 - patches Chainer before any test imports it
from tests.generated import pytest_collection_modifyitems
from tests.unit.training_job.drops import Drop

__all__ = ["pytest_collection_modifyitems"]

# In the service's environment there is no Chainer, and nothing here to collect.
collect_ignore_glob = [] if importlib.util.find_spec("chainer") else ["test_*.py"]


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """Make this process one of a job's, and return what reads its records."""
    file = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("KEDJA_METRICS", str(file))

    def read() -> list[dict[str, Any]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    return read
