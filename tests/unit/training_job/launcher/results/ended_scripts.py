"""Jobs whose scripts have ended, and records of what they saved, for tests of what is collected."""

import io
import itertools
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from training_job.job import Job
from training_job.launcher.results import collection
from training_job.launcher.results.saved_files import Kind, SavedFile

_times = itertools.count(1_700_000_000)


def archive(names: Mapping[str, bytes] | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, content in (names or {"w.npy": b"weights"}).items():
            target.writestr(name, content)
    return stream.getvalue()


@dataclass
class EndedScript:
    """A job in a folder, whose script writes and saves files by these methods."""

    job: Job
    saved: list[SavedFile] = field(default_factory=list)
    outs: dict[Path, bool] = field(default_factory=dict)

    @classmethod
    def begin(cls, root: Path, scripts: Mapping[str, bytes] | None = None) -> "EndedScript":
        folder = root / "job"
        for name in ("outputs", "logs", ".kedja"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, content in (scripts or {"train.py": b"pass"}).items():
            write(folder / name, content)
        job = Job(
            folder=folder,
            snapshot=root / "snapshot",
            data=root / "data",
            code=PurePosixPath(),
            requirements=None,
            checkpoints=folder / ".kedja/checkpoints",
            command=("python", "train.py"),
            is_shell=False,
        )
        collection.remember(job)
        return cls(job)

    def write(self, name: str, content: bytes = b"x") -> Path:
        return write(self.job.folder / name, content)

    def save(
        self,
        name: str,
        link: str = "Net",
        *,
        kind: Kind = Kind.NPZ,
        step: int = 1,
        number: int = 1,
        content: bytes | None = None,
        has_predictor: bool = False,
        process: int = 1,
        holds: frozenset[int] = frozenset(),
        held_by: frozenset[int] = frozenset(),
    ) -> Path:
        path = self.write(name, archive() if content is None else content).resolve()
        status = path.stat()
        self.saved.append(
            SavedFile(
                path=path,
                kind=kind,
                link=link,
                has_predictor=has_predictor,
                process=process,
                step=step,
                number=number,
                holds=holds,
                held_by=held_by,
                inode=(status.st_dev, status.st_ino),
                size=status.st_size,
                modified=status.st_mtime_ns,
            )
        )
        return path

    @property
    def outputs(self) -> list[str]:
        """The files in `outputs`."""
        files = (path for path in self.job.outputs.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.job.outputs).as_posix() for path in files)


def write(path: Path, content: bytes) -> Path:
    """Write a file that is newer than all written before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    second = next(_times)
    os.utime(path, (second, second))
    return path
