"""The checks of `kedja doctor`: what is needed, whether it is there, and how to fix what is not."""

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import asdict, frozen

from kedja_cli.errors import CommandError, Exit
from kedja_cli.service.api import Api, parse_json

_ROOT = Path(__file__).parents[2]
_PORTS = {"blob": 10000, "queue": 10001, "table": 10002, "functions": 7071, "mlflow": 5000, "event-grid": 6500}
_MIN_NODE = 20
_MIN_PYTHON = (3, 13)
_MIN_FREE_SPACE = 2 << 30
"""Bytes that the local stack and one training job need."""
_MAX_SKEW = 60.0
"""Seconds. Storage refuses a SAS at 15 minutes; the order of events is wrong much earlier."""
_TIMEOUT = 20.0  # seconds


@frozen(kw_only=True)
class Finding:
    """The result of one check. `fix` says what to do if something is wrong."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    fix: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return asdict(self)


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, state="ok", found=found)


def run_checks(api: Api) -> Iterator[Finding]:
    """Check what this machine and the service need; and what the local stack needs, if `api` is local."""
    yield _python()
    yield from _packages()
    if api.is_local and (_ROOT / "host.json").is_file():  # as a checkout has it
        yield _node()
        yield _azurite()
        yield _training()
        yield _gpu()
        yield from _state()
        yield from _ports(api)
    elif not api.is_local:
        yield _signed_in(api)
    yield from _service(api)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= _MIN_PYTHON:
        return _ok("python", version)
    return Finding(name="python", state="failed", found=version, fix="Install Python 3.13, then run make setup.")


def _packages() -> Iterator[Finding]:
    """Compare the installed packages with the requirements in pyproject.toml."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - only the doctor needs it

    file = _ROOT / "pyproject.toml"
    if not file.is_file():
        yield _ok("packages", f"kedja {importlib.metadata.version('kedja')} as it was installed")
        return
    count = 0
    for text in tomllib.loads(file.read_text())["project"]["dependencies"]:
        requirement = Requirement(text)
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        if version == "not installed" or not requirement.specifier.contains(version, prereleases=True):
            found = f"{version}; {requirement.specifier} is needed"
            yield Finding(name=requirement.name, state="failed", found=found, fix="Run make setup.")
        else:
            count += 1
    yield _ok("packages", f"{count} as required")


def _node() -> Finding:
    version = _first_line_of("node", "--version")
    match = re.match(r"v(\d+)\.", version or "")
    if match and int(match[1]) >= _MIN_NODE:
        return _ok("node", str(version))
    return Finding(
        name="node", state="failed", found=version or "not installed", fix=f"Install Node.js {_MIN_NODE} or newer."
    )


def _azurite() -> Finding:
    version = _first_line_of(str(_ROOT / "node_modules" / ".bin" / "azurite"), "--version")
    if version:
        return _ok("azurite", version)
    return Finding(name="azurite", state="failed", found="not installed", fix="Run make setup.")


def _training() -> Finding:
    python = _ROOT / ".venv-training" / "bin" / "python"
    code = (
        "from importlib.metadata import version as v; "
        'print(f\'Chainer {v("chainer")}, NumPy {v("numpy")}, MLflow {v("mlflow-skinny")}\')'
    )
    versions = _first_line_of(str(python), "-c", code)
    if versions:
        return _ok("job environment", versions)
    return Finding(name="job environment", state="failed", found=f"no Chainer at {python}", fix="Run make setup.")


def _gpu() -> Finding:
    found = _first_line_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    if found:
        return _ok("gpu", found)
    return _ok("gpu", "none: local jobs train on the CPU, jobs in Azure on the GPU of their cluster")


def _state() -> Iterator[Finding]:
    """Check that the local stack may write, and has enough space."""
    folder = next(path for path in (_ROOT / ".kedja", _ROOT) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Finding(
            name="permissions",
            state="failed",
            found=f"{folder} cannot be written",
            fix=f"Make it yours: chown {folder}",
        )
    else:
        yield _ok("permissions", f"{folder} can be written")
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < _MIN_FREE_SPACE:
        yield Finding(
            name="disk", state="warning", found=text, fix="Free some space; make clean removes the stack's state."
        )
    else:
        yield _ok("disk", text)


def _ports(api: Api) -> Iterator[Finding]:
    """Check the ports of the local stack: the stack uses them, or nothing does."""
    taken = [f"{name} {port}" for name, port in _PORTS.items() if _is_listening(port)]
    url = urlsplit(api.url)
    up = _is_listening(url.port or 80)
    if not taken:
        yield _ok("ports", "free" if not up else f"the service uses {url.port}")
    elif up:
        yield _ok("ports", f"in use by the stack: {', '.join(taken)}")
    else:
        yield Finding(
            name="ports",
            state="failed",
            found=f"in use, and not by Kedja: {', '.join(taken)}",
            fix="Stop the programs that listen there, or choose other ports: kedja up --help.",
        )


def _signed_in(api: Api) -> Finding:
    from kedja_cli.service.sign_in import token  # noqa: PLC0415 - loads azure-identity

    if api.key:
        return _ok("identity", "an API key of Kedja (KEDJA_KEY or --key)")
    try:
        token(api.url)
    except CommandError as error:
        return Finding(name="identity", state="failed", found=str(error), fix=error.what_to_do)
    return _ok("identity", "signed in to Entra ID")


def _service(api: Api) -> Iterator[Finding]:
    """Check the service, and compare its clock with the clock of this machine."""
    began = time.time()
    try:
        response = api.request("GET", "/api/health")
        health = parse_json(response)
    except CommandError as error:
        yield Finding(name="service", state="failed", found=str(error), fix=error.what_to_do)
        return
    yield _ok("service", f"Kedja {health['kedja']} on Python {health['python']} at {api.url}")
    if "date" in response.headers:
        yield _clock(parsedate_to_datetime(response.headers["date"]).timestamp() - (began + time.time()) / 2)
    yield from _access(api)


def _clock(skew: float) -> Finding:
    text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the service's" if abs(skew) > 1 else "agree"
    if abs(skew) <= _MAX_SKEW:
        return _ok("clocks", text)
    fix = (
        "Set this machine's clock (timedatectl set-ntp true): signed addresses in storage are valid for a limited time."
    )
    return Finding(name="clocks", state="failed", found=text, fix=fix)


def _access(api: Api) -> Iterator[Finding]:
    try:
        checks = parse_json(api.request("GET", "/api/checks", accept=(503,))).get("checks") or {}
    except CommandError as error:
        state: Literal["warning", "failed"] = "warning" if error.code is Exit.NOT_ALLOWED else "failed"
        yield Finding(name="access", state=state, found=str(error), fix=error.what_to_do)
        return
    for part, check in checks.items():
        name = f"service: {part}"
        if check["state"] == "ok":
            yield _ok(name, f"answers in {check['milliseconds']:.0f} ms")
        else:
            fix = "kedja up shows the running parts; their logs are in .kedja/logs." if api.is_local else None
            yield Finding(
                name=name, state="failed", found=check["error"], fix=fix or "See the log of the function app."
            )


def _first_line_of(*command: str) -> str | None:
    """Return the first line that a program prints, or None if it is not installed or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
