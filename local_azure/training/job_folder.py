"""The folder of one job: its code, inputs, working directory, log and exit code."""

import os
import shutil
from pathlib import Path

from attrs import frozen

from function_app.ports import job_log
from function_app.ports.training_service import LogPage

JOBS = "jobs"
"""Name of the folder with all jobs' folders, in the training service's folder."""


@frozen
class JobFolder:
    """The paths of one job's files. After the job has ended, only the log and the exit code stay."""

    root: Path

    @property
    def code(self) -> Path:
        """A copy of `training_job` and nothing else: what Azure ML calls the code snapshot."""
        return self.root / "code"

    @property
    def inputs(self) -> Path:
        """The inputs, a folder each."""
        return self.root / "inputs"

    @property
    def work(self) -> Path:
        """The command's working directory, with `./outputs` and `./logs`."""
        return self.root / "work"

    @property
    def named_outputs(self) -> Path:
        """The targets of `${{outputs.<name>}}`, a folder each."""
        return self.root / "named_outputs"

    @property
    def home(self) -> Path:
        """The command's home directory, also for temporary files."""
        return self.root / "home"

    @property
    def log(self) -> Path:
        """The command's output."""
        return self.root / "user_logs" / "std_log.txt"

    @property
    def command(self) -> Path:
        """The command, as a shell script."""
        return self.root / "command.sh"

    @property
    def exit_code(self) -> Path:
        """The command's exit code once it has ended, so that any process can read it."""
        return self.root / "exit_code"

    def recreate(self, code: Path) -> None:
        """Create the folder with a copy of the code folder; remove what an interrupted start left."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (self.inputs, self.work / "outputs", self.work / "logs", self.home, self.log.parent):
            folder.mkdir(parents=True)
        shutil.copytree(code, self.code / code.name, ignore=shutil.ignore_patterns("__pycache__"))
        self.log.touch()

    def clean_up(self) -> None:
        """Remove everything that is large and stored elsewhere: all folders but the log's."""
        for folder in (self.code, self.inputs, self.work, self.named_outputs, self.home):
            shutil.rmtree(folder, ignore_errors=True)

    def read_exit_code(self) -> int | None:
        """Return the command's exit code, or None if it has not ended."""
        try:
            return int(self.exit_code.read_text())
        except FileNotFoundError:
            return None

    def read_log(self, offset: int, limit: int, *, ended: bool) -> LogPage:
        """Return up to `limit` bytes from byte `offset`; a negative one counts from the end."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                start = job_log.start(offset, size)
                log.seek(start)
                data = log.read(limit)
        except FileNotFoundError:
            start, size, data = max(0, offset), 0, b""
        return job_log.page(data, offset=start, limit=limit, size=size, ended=ended)
