"""Runs uv, which resolves and installs packages. An environment with pip alone gets a copy of it first."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training_job.errors import PackagesError
from training_job.requirements.outcome import short

VARIABLE = "KEDJA_UV"
"""Environment variable with the path of uv."""

_VERSION = "0.13.9"
_LIMIT_SECONDS = 1800.0
BUILD_HOOK = Path(__file__).parent / "build_hook"
"""Folder of the `sitecustomize.py` of builds."""
_BUILD_CONSTRAINTS = BUILD_HOOK / "constraints.txt"
_OF_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
"""Settings of pip, as an environment variable of a job may give them, and uv's names for them."""
_PYTHON_ERROR = re.compile(r"[\w.]*(?:Error|Exception|NotFound): ")
_CAUSE = re.compile(r"(?:error|cause|caused by): (.*)", re.IGNORECASE)
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs")
_NOT_FOR_UV = ("VIRTUAL_ENV", "PYTHONHOME")


@dataclass(frozen=True)
class Run:
    """A finished run of uv: its exit code, what it printed as its result, and its messages."""

    exit_code: int
    output: str
    errors: str

    @property
    def succeeded(self) -> bool:
        """Whether it did what it should."""
        return self.exit_code == 0

    @property
    def reason(self) -> str:
        """Why it failed, in one line."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        python = [line for line in lines if _PYTHON_ERROR.match(line)]
        causes = [match[1] for line in lines if (match := _CAUSE.match(line))]
        return short((python[-1:] or causes[-1:] or lines[-1:] or ["uv gave no reason"])[0])


@dataclass(kw_only=True)
class Uv:
    """uv for one environment. `folder` takes its files; `cache` is its cache, or None for its default."""

    executable: str
    folder: Path
    python: Path
    options: Sequence[tuple[str, str]] = ()
    packages: Sequence[Path] = ()
    cache: Path | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + _LIMIT_SECONDS)

    def resolve(self, requirement: str, *options: str) -> Run:
        """Find the version of one requirement, without its dependencies. The output is `name==version`."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            asked = self._file(Path(folder), [requirement])
            command = ["compile", "--no-deps", "--no-header", "--no-annotate", "--quiet", "--no-strip-extras"]
            return self._run([*command, *options, str(asked)])

    def install(
        self, lines: Iterable[str], *options: str, excluded: Iterable[str] = (), without_extensions: bool = False
    ) -> Run:
        """Install lines of a requirements file into the venv whose Python is `python`."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            asked = self._file(Path(folder), lines)
            without = Path(folder, "excluded.txt")
            without.write_text("\n".join(excluded), encoding="utf-8")
            command = ["install", "--requirement", str(asked), "--excludes", str(without), *options]
            if without_extensions:
                command += ["--config-setting", "kedja=without-extensions"]
            return self._run(command, {"KEDJA_BUILD_WITHOUT_EXTENSIONS": "1"} if without_extensions else {})

    def prune(self) -> Run:
        """Remove downloaded wheels from the cache, and keep those that were built here."""
        return _finished([self.executable, "cache", "prune", "--ci", "--quiet"], self._environment({}), 60.0)

    def _file(self, folder: Path, lines: Iterable[str]) -> Path:
        path = folder / "requirements.txt"
        options = [f"{option} {value}".strip() for option, value in self.options]
        path.write_text("\n".join([*options, *lines]) + "\n", encoding="utf-8")
        return path

    def _run(self, arguments: Sequence[str], more: dict[str, str] | None = None) -> Run:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return Run(1, "", f"error: the {_LIMIT_SECONDS / 60:.0f} minutes for installing packages were over")
        command = [self.executable, "pip", *arguments, "--python", str(self.python), "--no-progress"]
        # As pip does: a package is looked for in all indexes, and not in the first alone that has its name.
        command += ["--index-strategy", "unsafe-best-match", "--build-constraints", str(_BUILD_CONSTRAINTS)]
        return _finished(command, self._environment(more or {}), left)

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_UV}
        for theirs, ours in _OF_PIP.items():
            if theirs in environment:
                value = environment[theirs]
                environment.setdefault(ours, ",".join(value.split()) if ours == "UV_FIND_LINKS" else value)
        if _SYSTEM_CERTIFICATES.is_dir():
            # As pip does: a company's own authority is there, and not among those that uv brings.
            environment.setdefault("UV_SYSTEM_CERTS", "1")
        if self.cache is not None:
            environment["UV_CACHE_DIR"] = str(self.cache)
        packages = os.pathsep.join(str(folder) for folder in self.packages)
        return environment | {"PYTHONPATH": str(BUILD_HOOK), "KEDJA_BUILD_PACKAGES": packages, **more}


def find(tools: Path) -> str:
    """Return the path of uv: the one that KEDJA_UV names, beside this Python, on the path, or installed into `tools`.

    Raises:
        PackagesError: There is none, and pip cannot install it.
    """
    beside = Path(sys.executable).parent / "uv"
    for found in (os.environ.get(VARIABLE), str(beside), shutil.which("uv")):
        if found and os.access(found, os.X_OK):
            return found
    if importlib.util.find_spec("pip") is None:
        raise PackagesError("packages are asked for, and this environment has neither uv nor pip: add uv")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    done = _finished([*command, "--target", str(tools), f"uv=={_VERSION}"], dict(os.environ), _LIMIT_SECONDS)
    installed = tools / "bin" / "uv"
    if not done.succeeded or not installed.exists():
        raise PackagesError(f"packages are asked for, and pip could not install uv for them: {done.reason}")
    return str(installed)


def _finished(command: Sequence[str], environment: dict[str, str], limit: float) -> Run:
    # In the root folder, as uv reads the settings of a project, such as a dropped pyproject.toml.
    try:
        done = subprocess.run(
            command, cwd="/", env=environment, capture_output=True, text=True, errors="replace", check=False,
            timeout=limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Run(1, "", f"error: stopped after {limit:.0f} seconds")
    except OSError as error:
        return Run(1, "", f"error: {command[0]} cannot be started: {error.strerror or error}")
    return Run(done.returncode, done.stdout, done.stderr)
