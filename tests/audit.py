"""`make audit`: asks pip-audit about every pinned package, and says what was looked up and what could not be.

Ends with 0 where every package was looked up and none has a known vulnerability, with 1 where one has, and with 3
where advisories could not be had: pip-audit itself calls that "no known vulnerabilities".
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

ROOT = Path(__file__).parents[1]
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-docs.txt",
    "requirements-infra.txt",
    "requirements-tools.txt",
    "training_job/environment/requirements.txt",
    "training_job/environment/requirements-cpu.txt",
)
VULNERABLE, UNREACHABLE = 1, 3


@define
class Audit:
    """What is known of the packages of one file."""

    file: str
    looked_up: int = 0
    skipped: list[str] = field(factory=list)
    vulnerable: list[str] = field(factory=list)
    failure: str | None = None

    @classmethod
    def of(cls, file: str, output: str, errors: str) -> "Audit":
        """Read what pip-audit printed as JSON, or why it printed none."""
        audit = cls(file)
        try:
            packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
        except ValueError:
            audit.failure = (errors.strip().splitlines() or ["pip-audit said nothing"])[-1]
            return audit
        for package in packages:
            name = f"{package['name']} {package.get('version', '')}".strip()
            if "skip_reason" in package:
                audit.skipped.append(name)
                continue
            audit.looked_up += 1
            audit.vulnerable += [f"{name}: {one['id']}, fixed in {_versions(one)}" for one in package["vulns"]]
        return audit

    def __str__(self) -> str:
        if self.failure is not None:
            return f"{self.file}: NOT AUDITED, the advisories could not be reached: {self.failure}"
        text = f"{self.file}: {self.looked_up} looked up, {len(self.vulnerable)} vulnerabilities"
        if self.skipped:
            text += (
                f"; NOT AUDITED, as the advisory service does not know them or cannot be reached: {len(self.skipped)}"
            )
        return "\n  ".join([text, *self.vulnerable])


def exit_code(audits: Sequence[Audit]) -> int:
    """Return how the audit ends."""
    if any(audit.vulnerable for audit in audits):
        return VULNERABLE
    return UNREACHABLE if any(audit.failure or audit.skipped for audit in audits) else 0


def _versions(vulnerability: dict[str, Any]) -> str:
    return ", ".join(vulnerability["fix_versions"]) or "no version yet"


def _run(file: str) -> Audit:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
    done = subprocess.run(
        [*command, "--format=json", "--requirement", str(ROOT / file)], capture_output=True, text=True, check=False
    )
    return Audit.of(file, done.stdout, done.stderr)


def main() -> int:
    """Audit every file, and print a line for each."""
    audits = [_run(file) for file in FILES]
    print(*audits, sep="\n")  # noqa: T201 - what the command is for
    return exit_code(audits)


if __name__ == "__main__":
    sys.exit(main())
