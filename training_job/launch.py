"""`python -m training_job.launch`: runs a dropped script as its author ran it, with what is around it.

    python -m training_job.launch --snapshot FOLDER [--data FOLDER] -- python train.py --epochs 10
    python -m training_job.launch --snapshot FOLDER [--data FOLDER] --shell 'python prepare.py && python train.py'

The working directory is the job's: the dropped scripts are copied into it, `./outputs` and `./logs` are made, and
`./.kedja` holds what the job needs itself. Ends as the script ends (128 + n for signal n), with 65 where scripts or
data are not those of the snapshot or were refused, with 1 where it could not be started at all (127: no such command).
`outputs/.kedja-manifest.json` (see `training_job.manifest`) is written last, whatever happened.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training_job import child, environment_facts, final_metrics, manifest, metrics, packages, snapshot
from training_job.compat import STARTUP
from training_job.compat.numpy_names import JOB_VARIABLE
from training_job.errors import ChangedSinceSnapshotError, CommandError, SnapshotError, TrainingJobError
from training_job.manifest import Outcome, Result
from training_job.run_log import MlflowRun, RunLog

REFUSED = 65
_NOT_STARTED = 127

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run, and where."""

    folder: Path
    snapshot: Path
    data: Path | None
    command: tuple[str, ...]
    is_shell: bool

    @property
    def outputs(self) -> Path:
        """Where the script leaves its results."""
        return self.folder / "outputs"

    @property
    def state(self) -> Path:
        """What the job itself needs."""
        return self.folder / ".kedja"

    @property
    def records(self) -> Path:
        """Where the script's processes record metrics."""
        return self.state / "metrics.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the arguments name in the current folder. Returns the exit code."""
    logging.basicConfig(format="training_job.launch: %(message)s", level=logging.INFO, stream=sys.stderr)
    job = _parse(sys.argv[1:] if argv is None else argv)
    for folder in (job.outputs, job.folder / "logs", job.state):
        folder.mkdir(exist_ok=True)
    job.records.unlink(missing_ok=True)
    os.environ[metrics.FILE_VARIABLE] = str(job.records)
    run_log = RunLog(job.records, MlflowRun.from_environment())
    result = _run(job, run_log)
    final_metrics.add(run_log.drain(), job.outputs)
    run_log.close()
    if result.reason is not None:
        logger.error("%s: %s", result.outcome.value, result.reason)
    manifest.write(job.outputs, result, run_log.records.latest())
    return result.exit_code


def _run(job: Job, run_log: RunLog) -> Result:
    try:
        dropped = snapshot.read(job.snapshot)
        snapshot.copy_scripts(dropped, job.folder)
        seen = None if job.data is None else snapshot.verify_data(dropped, job.data)
        requirements = job.folder / "requirements.txt"
        if requirements.is_file():
            packages.install(requirements, job.state / "packages")
        end = _run_script(job, run_log)
        result = _judge(end, run_log)
        if job.data is not None:
            snapshot.verify_data(dropped, job.data, seen)
    except ChangedSinceSnapshotError as error:
        return Result(outcome=Outcome.CHANGED, exit_code=REFUSED, reason=str(error))
    except SnapshotError as error:
        return Result(outcome=Outcome.REFUSED, exit_code=REFUSED, reason=str(error))
    except CommandError as error:
        return Result(outcome=Outcome.FAILED, exit_code=_NOT_STARTED, reason=str(error))
    except (TrainingJobError, OSError) as error:
        return Result(outcome=Outcome.FAILED, exit_code=1, reason=str(error))
    return result


def _run_script(job: Job, run_log: RunLog) -> child.End:
    command = ("/bin/bash", "-c", *job.command) if job.is_shell else job.command
    parameters = {"command": job.command[0]} if job.is_shell else environment_facts.parameters(job.command)
    tags = environment_facts.tags()
    return child.run(command, _environment(job), is_shell=job.is_shell, started=lambda: run_log.start(parameters, tags))


def _judge(end: child.End, run_log: RunLog) -> Result:
    """Say in words how the script ended."""
    if end.exit_code == 0:
        return Result(outcome=Outcome.COMPLETED, exit_code=0)
    records = run_log.drain()
    result = Result(outcome=Outcome.FAILED, exit_code=end.exit_code, signal=end.signal, out_of_memory=end.out_of_memory)
    if end.out_of_memory:
        return replace(result, reason="the script was killed because the node's memory ran out")
    if end.signal is not None:
        return replace(result, reason=f"the script was ended by {end.signal}")
    if records.failure is None:
        return replace(result, reason=f"the script ended with exit code {end.exit_code}")
    if records.refused and end.exit_code == REFUSED:
        return replace(result, outcome=Outcome.REFUSED, reason=records.failure)
    lack = "MemoryError" in records.failure or "OutOfMemoryError" in records.failure.partition(":")[0]
    return replace(result, out_of_memory=lack, reason=f"the script ended with {records.failure}")


def _environment(job: Job) -> dict[str, str]:
    """Return the script's environment variables."""
    own = {metrics.FILE_VARIABLE: str(job.records), JOB_VARIABLE: str(job.folder), "PYTHONUNBUFFERED": "1"}
    if job.data is not None:
        own["KEDJA_DATA"] = str(job.data)
    # `python` is the Python that runs this, whatever the machine calls by that name.
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    found = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [STARTUP, job.state / "packages", *found, Path(__file__).resolve().parent.parent]
    own["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(str(path) for path in paths))
    return os.environ | own


def _parse(argv: Sequence[str]) -> Job:
    before, separator, command = _split(argv)
    parser = argparse.ArgumentParser(prog="python -m training_job.launch", description="Run a dropped script.")
    parser.add_argument("--snapshot", type=Path, required=True, help="folder with manifest.json and scripts/")
    parser.add_argument("--data", type=Path, help="folder with the dropped data")
    parser.add_argument("--shell", help="a command line for the shell, in place of -- and a command")
    options = parser.parse_args(before)
    if (options.shell is None) != bool(separator and command):
        parser.error("give either --shell, or -- and a command")
    return Job(
        folder=Path.cwd(),
        snapshot=options.snapshot.absolute(),
        data=None if options.data is None else options.data.absolute(),
        command=tuple(command) if options.shell is None else (options.shell,),
        is_shell=options.shell is not None,
    )


def _split(argv: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if "--" not in argv:
        return argv, False, []
    index = list(argv).index("--")
    return argv[:index], True, argv[index + 1 :]


if __name__ == "__main__":
    sys.exit(main())
