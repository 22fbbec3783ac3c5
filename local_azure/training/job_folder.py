"""The folder of one job: its code, inputs, working folder, log, and how its command ended."""

import os
import shutil
from pathlib import Path

from attrs import frozen

from function_app import job_log
from function_app.training_service import LogPage

JOBS = "jobs"
"""The folder of the jobs' folders in the training service's folder."""


@frozen
class JobFolder:
    """Where the files of one job stand. `root` and its log stay when the job has ended; the rest goes."""

    root: Path

    @property
    def code(self) -> Path:
        """Holds a copy of `training_job` and nothing else: what Azure ML calls the job's code snapshot."""
        return self.root / "code"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def work(self) -> Path:
        """The working directory of the command, with `./outputs` and `./logs`."""
        return self.root / "work"

    @property
    def named_outputs(self) -> Path:
        """What `${{outputs.<name>}}` stands for, a folder each."""
        return self.root / "named_outputs"

    @property
    def home(self) -> Path:
        """The command's home and place for temporary files."""
        return self.root / "home"

    @property
    def log(self) -> Path:
        return self.root / "user_logs" / "std_log.txt"

    @property
    def command(self) -> Path:
        return self.root / "command.sh"

    @property
    def exit_code(self) -> Path:
        """Holds the command's exit code once it has ended, so that any process can read it."""
        return self.root / "exit_code"

    def make_afresh(self, code: Path) -> None:
        """Make the folder anew, without anything that an interrupted start left, around a copy of the code folder."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (self.inputs, self.work / "outputs", self.work / "logs", self.home, self.log.parent):
            folder.mkdir(parents=True)
        shutil.copytree(code, self.code / code.name, ignore=shutil.ignore_patterns("__pycache__"))
        self.log.touch()

    def tidy(self) -> None:
        """Remove what takes space and is kept elsewhere: all but the log."""
        for folder in (self.code, self.inputs, self.work, self.named_outputs, self.home):
            shutil.rmtree(folder, ignore_errors=True)

    def read_exit_code(self) -> int | None:
        """Return the command's exit code, or None while there is none."""
        try:
            return int(self.exit_code.read_text())
        except FileNotFoundError:
            return None

    def read_log(self, offset: int, limit: int, *, ended: bool) -> LogPage:
        """Return up to `limit` bytes from byte `offset`, which counts from the end where it is negative."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                start = job_log.start(offset, size)
                log.seek(start)
                data = log.read(limit)
        except FileNotFoundError:
            start, size, data = max(0, offset), 0, b""
        return job_log.page(data, offset=start, limit=limit, size=size, ended=ended)
