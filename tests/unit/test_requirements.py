"""Every package is pinned to one version, with the hashes of its files; the audit tells what it could not look up."""

import json
import re
from pathlib import Path

import pytest

from tests.audit import FILES, ROOT, UNREACHABLE, VULNERABLE, Audit, exit_code

PIN = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,._-]+\])?(==| @ https://)\S+( ; .+)?( --hash=sha256:[0-9a-f]{64})+")
PACKAGE = {"name": "a", "version": "1"}


def requirements(path: Path) -> list[str]:
    """Return the requirements of a file, each in one line, without comments."""
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in text.splitlines())
    return [re.sub(r"\s+", " ", line) for line in lines if line]


@pytest.mark.parametrize("file", FILES)
def test_each_requirement_is_one_version_with_its_hashes(file: str) -> None:
    found = requirements(ROOT / file)
    assert found
    assert [line for line in found if not PIN.fullmatch(line)] == []


def test_no_file_of_requirements_is_forgotten() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("requirements*.txt")}
    found |= {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "training_job/environment").glob("requirements*.txt")
    }
    assert found == set(FILES)


def test_the_image_and_the_package_of_the_app_are_installed_by_hash() -> None:
    assert "--require-hashes" in (ROOT / "training_job/environment/Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = re.findall(r"^\t.*(?:pip sync|pip install)(?:.*\\\n)*.*", makefile, re.MULTILINE)
    assert installs
    # This repository's own package brings nothing along.
    own = "--no-deps --no-build-isolation --editable ."
    assert [line for line in installs if "--require-hashes" not in line and own not in line] == []


def test_node_packages_are_pinned_by_hash() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [name for name, package in packages.items() if name and not package.get("integrity")] == []


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ({"dependencies": [{**PACKAGE, "vulns": []}]}, 0, "1 looked up, 0 vulnerabilities"),
        ({"dependencies": [{**PACKAGE, "skip_reason": "not found"}]}, UNREACHABLE, "0 looked up.* NOT AUDITED.*: 1"),
        (
            {"dependencies": [{**PACKAGE, "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]},
            VULNERABLE,
            "a 1: PYSEC-1, fixed in 2",
        ),
        (None, UNREACHABLE, "could not be reached: no route"),
    ],
)
def test_an_audit_says_what_it_could_not_look_up(output: object, code: int, told: str) -> None:
    audit = Audit.of("r.txt", "" if output is None else json.dumps(output), "Traceback\nno route")
    assert exit_code([Audit("other.txt", looked_up=3), audit]) == code
    assert re.search(told, str(audit), re.DOTALL)
