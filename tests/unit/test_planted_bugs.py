"""The bugs that the harness of faults plants: each patch fits the code as it is now."""

import subprocess

import pytest

from local_azure.stack.supervisor import ROOT
from tests.end_to_end.faults import planted


@pytest.mark.parametrize("bug", planted.SCHEDULES)
def test_a_planted_bug_fits_the_code(bug: str) -> None:
    command = ["git", "apply", "--check", str(planted.FOLDER / f"{bug}.patch")]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{bug}.patch: {checked.stderr}"


def test_each_patch_has_its_schedules_and_its_sign() -> None:
    patches = {path.stem for path in planted.FOLDER.glob("*.patch")}
    assert patches == planted.SCHEDULES.keys() == planted.SIGNS.keys()
