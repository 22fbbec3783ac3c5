"""A folder of venvs on one machine, one for each list of requirements and environment, so that each is installed once.

A venv is built under another name and renamed, under a lock, so that no job sees a part of it. A job that uses a venv
holds a shared lock on it until its process ends, and only venvs without one are removed.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from training_job.atomic_write import write_json
from training_job.requirements import venv
from training_job.requirements.outcome import Outcome

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "KEDJA_PACKAGES_CACHE"
"""Environment variable with the folder of the cache; without it nothing is kept."""

_MAX_BYTES = 20 << 30
_RETRY_SECONDS = 24 * 3600.0
"""After this time, lines that could not be installed are tried again."""
_OUTCOME, _RECORD = "kedja-outcome.json", "kedja-record.json"
_DOWNLOADS = "downloads"

_held: list[IO[bytes]] = []
"""Locks on venvs in use. They are never closed: the system releases them when this process ends."""


@dataclass(frozen=True)
class Entry:
    """A venv in the cache, or None if nothing could be installed, and what became of the lines."""

    folder: Path | None
    outcome: Outcome


@dataclass(frozen=True)
class Cache:
    """The cache in `folder`. Venvs are removed, least recently used first, while all take more than `max_bytes`."""

    folder: Path
    max_bytes: int = _MAX_BYTES

    @classmethod
    def from_environment(cls) -> "Cache | None":
        """Return the cache that the environment names, or None."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(folder).absolute()) if folder else None

    @property
    def downloads(self) -> Path:
        """The folder of uv's own cache, on the same disk, so that venvs share its files."""
        return self.folder / _DOWNLOADS

    def has_many_downloads(self) -> bool:
        """Return whether uv's own cache takes more than the limit."""
        return sum(size for _, size in _files(self.downloads)) > self.max_bytes

    def get(self, key: str, build: Callable[[Path], Outcome]) -> Entry | None:
        """Return the venv for a key, which is kept until this process ends. If there is none, `build` makes it.

        Return None if a damaged venv is in use and cannot be replaced.

        Raises:
            OSError: The cache cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        entry = self.folder / key
        with self._locked(f"{key}.build", fcntl.LOCK_EX):
            outcome = _intact(entry)
            if outcome is None:
                if entry.exists() and not self._remove(entry):
                    return None
                outcome = self._build(entry, build)
                if not entry.exists():
                    return Entry(None, outcome)
                self._evict(entry)
            os.utime(entry / _RECORD)
            use = self._open(f"{key}.use")
            fcntl.flock(use, fcntl.LOCK_SH)
            _held.append(use)
        return Entry(entry, outcome)

    def forget(self, key: str) -> None:
        """Have the venv for a key built anew the next time."""
        (self.folder / key / _RECORD).unlink(missing_ok=True)

    def _build(self, entry: Path, build: Callable[[Path], Outcome]) -> Outcome:
        """Build a venv; keep it if anything was installed, as else the index may have been out of reach for a while."""
        part = entry.with_name(f"{entry.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            outcome = build(part)
            if not outcome.installed:
                return outcome
            outcome.save(part / _OUTCOME)
            size, digest = _listing(part)
            write_json(part / _RECORD, {"bytes": size, "listing": digest, "built": time.time()})
            part.rename(entry)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return outcome

    def _remove(self, entry: Path) -> bool:
        """Remove a venv, unless a job uses it. Return whether it is gone."""
        with self._open(f"{entry.name}.use") as use:
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            shutil.rmtree(entry, ignore_errors=True)
            return not entry.exists()

    def _evict(self, kept: Path) -> None:
        """Remove the least recently used venvs while there are too many bytes."""
        used: list[tuple[float, int, Path]] = []
        for record in self.folder.glob(f"*/{_RECORD}"):
            try:
                used.append((record.stat().st_mtime, json.loads(record.read_bytes())["bytes"], record.parent))
            except (OSError, ValueError, KeyError, TypeError):
                used.append((0.0, 0, record.parent))
        total = sum(size for _, size, _ in used)
        for _, size, entry in sorted(used):
            if total <= self.max_bytes:
                break
            if entry != kept and self._remove(entry):
                logger.info("removed installed packages that were not used for long: %s", entry.name)
                total -= size

    def _locked(self, name: str, mode: int) -> IO[bytes]:
        lock = self._open(name)
        fcntl.flock(lock, mode)
        return lock

    def _open(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}.lock").open("ab")


def _intact(entry: Path) -> Outcome | None:
    """Return the outcome of a complete venv, or None if it is missing, damaged, or due for another attempt."""
    try:
        record = json.loads((entry / _RECORD).read_bytes())
        outcome = Outcome.load(entry / _OUTCOME)
        is_due = bool(outcome.failures) and time.time() - record["built"] > _RETRY_SECONDS
        is_whole = venv.python(entry).exists() and _listing(entry)[1] == record["listing"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return outcome if is_whole and not is_due else None


def _listing(entry: Path) -> tuple[int, str]:
    """Return the bytes of a venv's packages, and a digest of their files' names and sizes, without bytecode."""
    files = sorted(_files(venv.packages(entry)))
    text = "\n".join(f"{size} {name}" for name, size in files)
    return sum(size for _, size in files), hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the relative name and the size of each file in a folder, without bytecode."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        relative = os.path.relpath(parent, folder)
        for name in names:
            # Path objects would take most of a second in a large venv.
            path = os.path.join(parent, name)  # noqa: PTH118 - as above
            yield os.path.join(relative, name), os.lstat(path).st_size  # noqa: PTH118 - as above
