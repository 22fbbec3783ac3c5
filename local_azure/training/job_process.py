"""The process of one job, in its own session, so that it outlives the runner that started it.

A shell around the command waits for a line from the runner before it starts it (so nothing runs if the runner is killed
before it has stored the process), writes the exit code to a file (the next runner is not its parent, and could not get
it otherwise), and then kills any background processes of the command.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
from attrs import define

from local_azure.training.job_folder import JobFolder
from local_azure.training.job_store import ProcessId

# With the trap, the shell survives a SIGTERM to its group. The command does not inherit it, and can handle the signal.
_WRAPPER = """
read -r go || exit 1
trap : TERM
bash "$1" </dev/null
echo "$?" >"$2.part" && mv "$2.part" "$2"
kill -KILL 0
"""

_INHERITED = (
    "CUDA_VISIBLE_DEVICES",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TZ",
)
"""The variables that a job inherits from the runner; none of them can be a secret."""

_CLOCK_TOLERANCE = 60.0  # seconds: start times shift with the wall clock; a process id is not reused so soon


def job_environment(
    folder: JobFolder, python: Path, inherited: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Return a clean environment in which `python` is the given one and `training_job` can be imported.

    `variables` are added; PATH and PYTHONPATH are prepended to theirs.
    """
    environment = {key: inherited[key] for key in _INHERITED if key in inherited}
    environment |= {"HOME": str(folder.home), "TMPDIR": str(folder.home), "LANG": inherited.get("LANG", "C.UTF-8")}
    environment |= variables
    bin_folder = python.absolute().parent  # not resolved: in a virtual environment, python is a link
    own_path = variables.get("PATH", inherited.get("PATH", os.defpath))
    environment["PATH"] = os.pathsep.join([str(bin_folder), own_path])
    own_modules = [variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else []
    environment["PYTHONPATH"] = os.pathsep.join([str(folder.code), *own_modules])
    return environment


@define
class JobProcess:
    """A job's process, started here (then `child` is set) or by an earlier runner."""

    id: ProcessId
    child: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: JobFolder, command: str, environment: Mapping[str, str]) -> "JobProcess":
        """Start the process; it waits for `go` before it runs the command."""
        folder.command.write_text(command + "\n")
        with folder.log.open("ab") as log:
            child = subprocess.Popen(
                ["bash", "-c", _WRAPPER, "kedja-job", folder.command, folder.exit_code],
                cwd=folder.work,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(ProcessId(pid=child.pid, created=psutil.Process(child.pid).create_time()), child)

    def go(self) -> None:
        """Let the command start."""
        if self.child is not None and self.child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # killed meanwhile: `is_alive` returns False
                self.child.stdin.write(b"go\n")
                self.child.stdin.close()

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        if self.child is not None:
            return self.child.poll() is None
        return is_alive(self.id)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its descendants."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                os.killpg(self.id.pid, number)

    def kill(self) -> None:
        """Kill the process and its descendants, and wait for it if it was started here."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()


def is_alive(process: ProcessId) -> bool:
    """Return whether this process runs, as opposed to a later one with the same id."""
    try:
        found = psutil.Process(process.pid)
        is_it = abs(found.create_time() - process.created) < _CLOCK_TOLERANCE
        return is_it and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
