"""Installs the drop's requirements.txt for this job alone.

Requirements that the environment already fulfils are skipped, so that `chainer` or `numpy` in the list costs nothing.
The rest is installed to a folder of the job, constrained to the versions of the environment unless the list itself
requests others. The environment is not changed.
"""

import codecs
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from training_job.errors import PackagesError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is a prefix of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks: PowerShell's `>` writes UTF-16."""
_BUILD_CONSTRAINTS = Path(__file__).parents[1] / "environment" / "build-constraints.txt"


def install(requirements: Path, target: Path) -> bool:
    """Install what a requirements file asks for and the environment lacks. Return whether anything was installed.

    Raises:
        PackagesError: The file is not text, there is no installer, or it failed; the message contains its last error.
    """
    lines = [line.strip() for line in _text(requirements).splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#") and not _is_fulfilled(line)]
    if not wanted:
        return False
    target.mkdir(parents=True, exist_ok=True)
    # Beside the original, as its lines may name files beside it.
    asked, held = requirements.with_name(".kedja-requirements.txt"), target.parent / "constraints.txt"
    asked.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    held.write_text("\n".join(_installed_versions(wanted)) + "\n", encoding="utf-8")
    command = [*_installer(), "--target", str(target), "--requirement", str(asked), "--constraint", str(held)]
    build = str(_BUILD_CONSTRAINTS)
    environment = {**os.environ, "PIP_BUILD_CONSTRAINT": build, "UV_BUILD_CONSTRAINT": build}
    done = subprocess.run(
        command, cwd=requirements.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout, end="", flush=True)  # noqa: T201 - part of the job's log
    if done.returncode != 0:
        raise PackagesError(f"requirements.txt could not be installed: {_reason(done.stdout, wanted)}")
    return True


def _text(requirements: Path) -> str:
    """Return the text of the file, decoded by its byte order mark, as pip does, or as UTF-8."""
    content = requirements.read_bytes()
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise PackagesError(
            f"{requirements.name} is no {encoding.upper()} text at byte {error.start + 1} "
            f"(0x{content[error.start]:02x}): save it as UTF-8"
        ) from error


def _is_fulfilled(line: str) -> bool:
    """Whether the environment fulfils a line. Anything but a name and versions is left to the installer."""
    try:
        requirement = Requirement(line.partition(" #")[0])
    except InvalidRequirement:
        return False
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.url is not None or requirement.extras:
        return False
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _installed_versions(wanted: Sequence[str]) -> list[str]:
    asked = set()
    for line in wanted:
        try:
            asked.add(canonicalize_name(Requirement(line.partition(" #")[0]).name))
        except InvalidRequirement:
            continue
    found = {
        canonicalize_name(distribution.metadata["Name"]): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    return sorted(f"{name}=={version}" for name, version in found.items() if name not in asked)


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    uv = shutil.which("uv")
    if uv is None:
        raise PackagesError("requirements.txt asks for packages, and this environment has neither pip nor uv: add pip")
    return [uv, "pip", "install", "--python", sys.executable]


def _reason(output: str, wanted: Sequence[str]) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "no solution" in line.lower()] or lines[-1:]
    text = errors[-1] if errors else "the installer gave no reason"
    named = [line for line in wanted if any(line.split("==")[0].split("[")[0] in error for error in errors)]
    return f"{', '.join(named or wanted)}: {text[:300]}"
