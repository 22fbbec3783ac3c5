"""What other people's tools say of the Bicep. Each test is skipped where its tool is not installed."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from tests.infra.bicep import INFRA, ROOT

CHECKER = ROOT.parent / "shared" / "bicep" / "check.py"
CHECKOV = ROOT / ".venv-infra" / "bin" / "checkov"

_SKIP = re.compile(r"// checkov:skip=(\w+):([^\n]*)")


@pytest.mark.skipif(not CHECKER.is_file(), reason=f"{CHECKER.name} with Azure's types is not on this machine")
def test_every_body_has_the_properties_of_its_type() -> None:
    result = subprocess.run([sys.executable, CHECKER, INFRA], capture_output=True, text=True, check=False)

    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stdout
    assert re.fullmatch(r"\d+ files, \d+ resource bodies checked against their types: ok", lines[-1])
    # Those bodies are held to their type in check_baseline: no stable version of it can be deployed.
    warnings = [line for line in lines[:-1] if "/providers/diagnosticSettings: not among the types" not in line]
    assert warnings == []


@cache
def checkov() -> dict[str, Any]:
    """Return checkov's report."""
    program = CHECKOV if CHECKOV.is_file() else shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not installed: make setup")
    options = ("--framework", "bicep", "--skip-download", "--compact", "--output", "json")
    result = subprocess.run([program, "-d", INFRA, *options], capture_output=True, text=True, check=False)
    assert "Failed to run check" not in result.stderr, f"a check that crashes finds nothing: {result.stderr}"
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_checkov_reads_every_file() -> None:
    summary = checkov()["summary"]

    assert summary["parsing_errors"] == 0
    assert summary["resource_count"] > 100


def test_checkov_finds_nothing() -> None:
    failed = [
        f"{each['file_path']}: {each['check_id']} {each['check_name']}"
        for each in checkov()["results"]["failed_checks"]
    ]

    assert failed == []


def test_every_skip_is_needed() -> None:
    used = {(each["file_path"].lstrip("/"), each["check_id"]) for each in checkov()["results"]["skipped_checks"]}

    assert used == {
        (path.relative_to(INFRA).as_posix(), found[1])
        for path in INFRA.rglob("*.bicep")
        for found in _SKIP.finditer(path.read_text(encoding="utf-8"))
    }


def test_every_skip_has_its_reason() -> None:
    reasons = [found for path in INFRA.rglob("*.bicep") for found in _SKIP.findall(path.read_text(encoding="utf-8"))]

    assert reasons
    assert [(check, reason) for check, reason in reasons if len(reason.split()) < 4] == []
