"""The checkup behind `kedja doctor`: what has to be there, whether it is, and how to fix what is not."""

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
from kedja_cli.service.api import Api, document

_ROOT = Path(__file__).parents[2]
_PORTS = {"blob": 10000, "queue": 10001, "table": 10002, "functions": 7071, "mlflow": 5000, "event-grid": 6500}
_NODE = 20
_PYTHON = (3, 13)
_ROOM = 2 << 30
"""Bytes that the local stack and one training need."""
_SKEW = 60.0
"""Seconds. Storage refuses a SAS at 15 minutes; the order of events is wrong long before."""
_PATIENCE = 20.0  # seconds


@frozen(kw_only=True)
class Finding:
    """What was found. `fix` says what to do where something is wrong."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    fix: str | None = None

    def told(self) -> dict[str, Any]:
        return asdict(self)


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, state="ok", found=found)


def checkup(api: Api) -> Iterator[Finding]:
    """Look at everything that this machine and the service need. What only the local stack needs is left out else."""
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
    if sys.version_info >= _PYTHON:
        return _ok("python", version)
    return Finding(name="python", state="failed", found=version, fix="Install Python 3.13, then run make setup.")


def _packages() -> Iterator[Finding]:
    """Compare what is installed with what pyproject.toml asks for."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - for the doctor alone

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
    yield _ok("packages", f"{count} as they should be")


def _node() -> Finding:
    version = _printed("node", "--version")
    match = re.match(r"v(\d+)\.", version or "")
    if match and int(match[1]) >= _NODE:
        return _ok("node", str(version))
    return Finding(
        name="node", state="failed", found=version or "not installed", fix=f"Install Node.js {_NODE} or newer."
    )


def _azurite() -> Finding:
    version = _printed(str(_ROOT / "node_modules" / ".bin" / "azurite"), "--version")
    if version:
        return _ok("azurite", version)
    return Finding(name="azurite", state="failed", found="not installed", fix="Run make setup.")


def _training() -> Finding:
    python = _ROOT / ".venv-training" / "bin" / "python"
    code = (
        "from importlib.metadata import version as v; "
        'print(f\'Chainer {v("chainer")}, NumPy {v("numpy")}, MLflow {v("mlflow-skinny")}\')'
    )
    versions = _printed(str(python), "-c", code)
    if versions:
        return _ok("job environment", versions)
    return Finding(name="job environment", state="failed", found=f"no Chainer at {python}", fix="Run make setup.")


def _gpu() -> Finding:
    found = _printed("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    if found:
        return _ok("gpu", found)
    return _ok("gpu", "none: local jobs train on the processor, those in Azure on their cluster's GPU")


def _state() -> Iterator[Finding]:
    """Look whether the local stack may write, and has room."""
    folder = next(path for path in (_ROOT / ".kedja", _ROOT) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Finding(
            name="permissions", state="failed", found=f"{folder} cannot be written", fix=f"chown it: {folder}"
        )
    else:
        yield _ok("permissions", f"{folder} can be written")
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < _ROOM:
        yield Finding(name="disk", state="warning", found=text, fix="Make room; make clean removes the stack's state.")
    else:
        yield _ok("disk", text)


def _ports(api: Api) -> Iterator[Finding]:
    """Look who listens where the local stack is to: all ports, or none."""
    taken = [f"{name} {port}" for name, port in _PORTS.items() if _listens(port)]
    url = urlsplit(api.url)
    up = _listens(url.port or 80)
    if not taken:
        yield _ok("ports", "free" if not up else f"the service has {url.port}")
    elif up:
        yield _ok("ports", f"in use by the stack: {', '.join(taken)}")
    else:
        yield Finding(
            name="ports",
            state="failed",
            found=f"in use, and not by Kedja: {', '.join(taken)}",
            fix="Stop what listens there, or choose others: kedja up --help.",
        )


def _signed_in(api: Api) -> Finding:
    from kedja_cli.service.sign_in import token  # noqa: PLC0415 - loads azure-identity

    if api.key:
        return _ok("identity", "a key of Kedja's (KEDJA_KEY or --key)")
    try:
        token(api.url)
    except CommandError as error:
        return Finding(name="identity", state="failed", found=str(error), fix=error.what_to_do)
    return _ok("identity", "signed in to Entra ID")


def _service(api: Api) -> Iterator[Finding]:
    """Ask the service how it is, and compare its clock with this machine's."""
    began = time.time()
    try:
        answer = api.request("GET", "/api/health")
        health = document(answer)
    except CommandError as error:
        yield Finding(name="service", state="failed", found=str(error), fix=error.what_to_do)
        return
    yield _ok("service", f"Kedja {health['kedja']} on Python {health['python']} at {api.url}")
    if "date" in answer.headers:
        yield _clock(parsedate_to_datetime(answer.headers["date"]).timestamp() - (began + time.time()) / 2)
    yield from _parts(api)


def _clock(skew: float) -> Finding:
    text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the service's" if abs(skew) > 1 else "agree"
    if abs(skew) <= _SKEW:
        return _ok("clocks", text)
    fix = "Set this machine's clock (timedatectl set-ntp true): addresses in storage hold for a time."
    return Finding(name="clocks", state="failed", found=text, fix=fix)


def _parts(api: Api) -> Iterator[Finding]:
    try:
        checks = document(api.request("GET", "/api/checks", accept=(503,))).get("checks") or {}
    except CommandError as error:
        state: Literal["warning", "failed"] = "warning" if error.code is Exit.NOT_ALLOWED else "failed"
        yield Finding(name="access", state=state, found=str(error), fix=error.what_to_do)
        return
    for part, check in checks.items():
        name = f"service: {part}"
        if check["state"] == "ok":
            yield _ok(name, f"answers in {check['milliseconds']:.0f} ms")
        else:
            fix = "kedja up shows the parts that run; .kedja/logs has their logs." if api.is_local else None
            yield Finding(
                name=name, state="failed", found=check["error"], fix=fix or "The function app's log says more."
            )


def _printed(*command: str) -> str | None:
    """Return the first line that a program prints, None where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
