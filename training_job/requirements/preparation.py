"""Prepares the packages that a drop asks for: finds its list, and gives the job a venv that has what it lacks."""

import hashlib
import logging
import os
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from training_job.errors import PackagesError
from training_job.requirements import selection, uv, venv
from training_job.requirements.cache import Cache
from training_job.requirements.installer import Installer
from training_job.requirements.job_packages import JobPackages
from training_job.requirements.lists import line
from training_job.requirements.lists import source as sources
from training_job.requirements.lists.source import Source
from training_job.requirements.outcome import Outcome
from training_job.requirements.provided import Environment
from training_job.requirements.selection import Selection

logger = logging.getLogger(__name__)

_FORMAT = "1"
_COMMIT = re.compile(r"@[0-9a-f]{40}\b")


def prepare(top: Path, state: Path, script: PurePosixPath | None, named: PurePosixPath | None = None) -> Outcome | None:
    """Install what the drop in the folder `top` asks for and the environment lacks, for the job with this `state`.

    `script` is the entry script and `named` the file that job.yaml names, both relative to `top`. Return what became
    of the lines, or None if there are none. What cannot be installed is a failure in it, and no error.

    Raises:
        PackagesError: The list of packages is missing or cannot be read.
    """
    job = JobPackages(state)
    _clear(job)
    source = sources.find(top, script, named)
    if source is None or not source.lines.lines:
        return None
    started = time.monotonic()
    for option in source.lines.ignored:
        logger.info("%s is ignored", option)
    outcome = _Preparation(job, source, Environment(), top, Cache.from_environment()).run()
    outcome.save(job.outcome_file)
    logger.info("%s: %s (%.1f s)", outcome.file, _summary(outcome), time.monotonic() - started)
    return outcome


def _clear(job: JobPackages) -> None:
    """Remove what an earlier start in this folder left."""
    job.outcome_file.unlink(missing_ok=True)
    job.key_file.unlink(missing_ok=True)
    shutil.rmtree(job.own, ignore_errors=True)
    if job.cached.is_symlink():
        job.cached.unlink()


@dataclass(frozen=True)
class _Preparation:
    """The installation of a source for a job, whose files are in the folder `top`."""

    job: JobPackages
    source: Source
    environment: Environment
    top: Path
    cache: Cache | None

    def run(self) -> Outcome:
        """Give the job a venv with what the environment lacks, a cached one if possible."""
        outcome = Outcome(file=self.source.file)
        wanted = self._select(outcome)
        if not wanted:
            return outcome
        if self.cache is None or not _is_cacheable(wanted, self.source, self.top):
            return self._build(self.job.own)
        key = _key(self.source, self.environment)
        try:
            entry = self.cache.get(key, self._build)
        except OSError as error:
            logger.warning("the cache of packages in %s cannot be used: %s", self.cache.folder, error)
            return replace(self, cache=None).run()
        if entry is None:
            return self._build(self.job.own)
        if entry.folder is not None:
            venv.create(self.job.own, [venv.packages(entry.folder), *self.environment.folders])
            self.job.cached.symlink_to(entry.folder)
            self.job.key_file.write_text(key, encoding="ascii")
        return entry.outcome

    def _select(self, outcome: Outcome) -> Selection:
        return selection.select(self.source.lines.lines, self.environment, outcome)

    def _build(self, folder: Path) -> Outcome:
        """Make a venv in the folder with the packages, and return what became of the lines."""
        outcome = Outcome(file=self.source.file)
        wanted = self._select(outcome)
        logger.info("installing what %s asks for and the environment lacks", self.source.file)
        venv.create(folder, self.environment.folders)
        try:
            executable = uv.find(self.job.state / "tools")
        except PackagesError as error:
            for it in [*(item for item, _ in wanted.packages), *wanted.others]:
                outcome.failures.append(selection.failure(it, str(error)))
            return outcome
        tool = uv.Uv(
            executable=executable, folder=self.job.state, python=venv.python(folder), options=self.source.lines.options,
            packages=self.environment.folders, cache=self.cache.downloads if self.cache else None,
        )  # fmt: skip
        Installer(tool, folder, self.environment, outcome).install(wanted)
        if self.cache is not None and self.cache.has_many_downloads():
            tool.prune()
        return outcome


def _is_cacheable(wanted: Selection, source: Source, top: Path) -> bool:
    """Whether the same lines mean the same packages for another job: no dropped file, and no branch of a repository."""
    for item in wanted.others:
        if item.path is not None or ("git+" in item.text and not _COMMIT.search(item.text)):
            return False
    return not any(Path(value).is_relative_to(top) for _, value in source.lines.options if value.startswith("/"))


def _key(source: Source, environment: Environment) -> str:
    """Return the name of the venv for these lines, in this environment and with these settings of the installer."""
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(("UV_", "PIP_"))]
    lines = [f"{item.file} {item.text} {item.hashes}" for item in source.lines.lines]
    options = [f"{option} {value}" for option, value in source.lines.options]
    parts = [_FORMAT, environment.digest, *settings, *options, *lines]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _summary(outcome: Outcome) -> str:
    installed = ", ".join(f"{name} {version}" for name, version in sorted(outcome.installed.items()))
    return line.redacted(f"installed {installed}" if installed else "nothing was installed")
