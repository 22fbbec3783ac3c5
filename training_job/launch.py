"""`python -m training_job.launch`: runs a dropped script as its author ran it, with its data and packages.

    python -m training_job.launch --snapshot FOLDER [--data FOLDER] [--code FOLDER] -- python train.py --epochs 10
    python -m training_job.launch --snapshot FOLDER [--data FOLDER] --shell 'python prepare.py && python train.py'

The working directory is the job's: the dropped scripts (those below `--code`) are copied into it, `./outputs` and
`./logs` are created, and `./.kedja` holds the job's own state. The exit code is the script's (128 + n for signal n),
65 if the scripts, the data or the GPU are not as requested, 1 if the job could not be started, and 127 if the command
does not exist. `outputs/.kedja-manifest.json` (see `training_job.manifest`) is written last, in every case. Under
mpirun every rank runs this: the first rank of a node prepares the working directory, and only rank 0 reports and
writes the manifest.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training_job import checkpoints, manifest, metrics, mpi_env
from training_job.errors import (
    EXIT_INVALID_INPUT,
    ArchiveError,
    ChangedSinceSnapshotError,
    CommandError,
    DeviceError,
    SnapshotError,
    TrainingJobError,
)
from training_job.hooks import pickled_arrays
from training_job.hooks.absent_gpu import gpu_zero
from training_job.hooks.compat import caller_origin
from training_job.hooks.compat.installer import STARTUP
from training_job.job import Job, parse
from training_job.launcher import (
    data_folder,
    gpu_preflight,
    metrics_summary,
    process,
    rank_sync,
    run_environment,
    snapshot,
)
from training_job.launcher.results import collection, gathering
from training_job.launcher.run_log import Reader, RunLog
from training_job.launcher.watchdog import Watchdog
from training_job.manifest import Outcome, Result
from training_job.package import exported, writer
from training_job.requirements.job_packages import JobPackages
from training_job.requirements.lists import finder
from training_job.tracking.mlflow_run import MlflowRun

_EXIT_NOT_STARTED = 127
_OUT_OF_MEMORY_MESSAGES = (
    "MemoryError",
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA out of memory",
)
"""Parts of the messages of exceptions that mean that a node's or a GPU's memory ran out."""

_NO_DISPLAY = {"MPLBACKEND": "agg", "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
"""What makes matplotlib, and gym's pygame, work without a display or a sound card; a job may set them."""

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the arguments describe, in the current folder. Return the exit code."""
    logging.basicConfig(format="training_job.launch: %(message)s", level=logging.INFO, stream=sys.stderr)
    job = parse(sys.argv[1:] if argv is None else argv)
    reports = mpi_env.rank() == 0
    for folder in (job.outputs, job.folder / "logs", job.state):
        folder.mkdir(exist_ok=True)
    records = job.records(mpi_env.rank())
    records.unlink(missing_ok=True)
    if reports:
        # If this start is killed, the manifest of an earlier start must not stand for it.
        (job.outputs / manifest.NAME).unlink(missing_ok=True)
        exported.clear(job)
    os.environ[metrics.FILE_VARIABLE] = str(records)
    run_log = RunLog(records, MlflowRun.from_environment() if reports else None)
    result = _run(job, run_log)
    if result.reason is not None:
        logger.error("%s: %s", result.outcome.value, result.reason)
    if reports:
        metrics_summary.add(run_log.drain(), job.outputs)
        run_log.close()
        model = gathering.gather(job, run_log.records, completed=result.outcome is Outcome.COMPLETED)
        export = exported.read(job, run_log.records, model.path)
        if export.lack is None:
            model = writer.write(job, export.exports, model, run_log.records, export.options)
        else:
            logger.error("%s", export.lack)
            result = Result(outcome=Outcome.FAILED, exit_code=1, reason=export.lack)
        if result.outcome is Outcome.COMPLETED:
            checkpoints.clear(job.checkpoints)
        told = run_log.records
        manifest.write(job.outputs, result, told.latest(), told.notes, model=model.path, model_reason=model.reason)
    return result.exit_code


def _run(job: Job, run_log: RunLog) -> Result:
    try:
        dropped = snapshot.read(job.snapshot)
        verified = None if job.data is None or mpi_env.local_rank() > 0 else snapshot.verify_data(dropped, job.data)
        data = rank_sync.prepare_once(job.state, lambda: _prepare(job, dropped))
        collection.remember(job)
        result = _run_script(job, data, run_log)
        if job.data is not None and verified is not None:
            result = _with_data_verified(result, dropped, job.data, verified)
    except ChangedSinceSnapshotError as error:
        return Result(outcome=Outcome.CHANGED, exit_code=EXIT_INVALID_INPUT, reason=str(error))
    except (SnapshotError, ArchiveError, DeviceError) as error:
        return Result(outcome=Outcome.REFUSED, exit_code=EXIT_INVALID_INPUT, reason=str(error))
    except CommandError as error:
        return Result(outcome=Outcome.FAILED, exit_code=_EXIT_NOT_STARTED, reason=str(error))
    except (TrainingJobError, OSError) as error:
        return Result(outcome=Outcome.FAILED, exit_code=1, reason=str(error))
    except Exception as error:
        # Without a manifest the job would look as if it had been killed.
        logger.exception("the job failed with an unexpected error")
        return Result(outcome=Outcome.FAILED, exit_code=1, reason=f"{type(error).__name__}: {error}")
    return result


def _with_data_verified(
    result: Result, dropped: snapshot.Snapshot, data: Path, verified: snapshot.FileStates
) -> Result:
    """Return the result of a script if its data is still as dropped. If the script failed, its own reason stays."""
    try:
        snapshot.verify_data(dropped, data, verified)
    except ChangedSinceSnapshotError as error:
        if result.outcome is Outcome.COMPLETED:
            raise
        metrics.note(f"While the script ran, its data changed: {error}.")
    return result


def _prepare(job: Job, dropped: snapshot.Snapshot) -> Path | None:
    """Prepare the working directory; return the folder of the data that the script sees."""
    snapshot.copy_scripts(dropped, job.folder, job.code)
    _install_packages(job)
    if not job.is_shell:
        gpu_preflight.check(job.command, with_chainer=caller_origin.imports_chainer(str(job.folder)))
    return None if job.data is None else data_folder.prepare(dropped, job.data, job.data_links)


def _install_packages(job: Job) -> None:
    """Install what the drop asks for and the environment lacks. The receipt lists what became something else."""
    script = finder.entry_script(job.command, is_shell=job.is_shell)
    if job.requirements is None and not any(finder.candidates(job.folder, script)):
        return
    from training_job.requirements import preparation  # noqa: PLC0415 - its imports take a tenth of a job's start

    outcome = preparation.prepare(job.folder, job.state, script, job.requirements)
    for note in outcome.notes() if outcome is not None else ():
        metrics.note(note)
        logger.info("%s", note)


def _run_script(job: Job, data: Path | None, run_log: RunLog) -> Result:
    words = job.command_with_data(data)
    command = ("/bin/bash", "-c", *words) if job.is_shell else words
    parameters = {"command": job.command[0]} if job.is_shell else run_environment.parameters(job.command)

    watchdog = Watchdog(lambda: run_log.records.dead_workers)

    def follow(group: int) -> None:
        watchdog.start(group)
        # Collected while the script already runs: with GPUs, nvidia-smi can take seconds.
        run_log.start(parameters, run_environment.tags() if mpi_env.rank() == 0 else {})

    kills_before = process.memory_kills()
    end = process.run(command, _environment(job, data), is_shell=job.is_shell, started=follow)
    watchdog.stop()
    if watchdog.reason is not None:
        killed = any(worker.exit_code == -signal.SIGKILL for worker in watchdog.dead)
        lack = killed and process.memory_kills() > kills_before
        return Result(outcome=Outcome.FAILED, exit_code=1, out_of_memory=lack, reason=watchdog.reason)
    return _result_of(end, run_log, job)


def _result_of(end: process.ProcessExit, run_log: RunLog, job: Job) -> Result:
    """Return the outcome and the reason of a script that has ended."""
    if end.exit_code == 0:
        return Result(outcome=Outcome.COMPLETED, exit_code=0)
    records = run_log.drain()
    result = Result(outcome=Outcome.FAILED, exit_code=end.exit_code, signal=end.signal, out_of_memory=end.out_of_memory)
    if end.out_of_memory:
        return replace(result, reason="the script was killed because the node's memory ran out")
    if end.signal is not None:
        rank, failure = _failure_of_another_rank(job)
        reason = f"the script was ended by {end.signal}" if rank is None else f"rank {rank} ended with {failure}"
        return replace(result, reason=reason, failed_rank=rank)
    if records.failure is None:
        return replace(result, reason=f"the script ended with exit code {end.exit_code}")
    if records.refused and end.exit_code == EXIT_INVALID_INPUT:
        return replace(result, outcome=Outcome.REFUSED, reason=records.failure)
    lack = "OutOfMemoryError" in records.failure.partition(":")[0] or any(
        word in records.failure for word in _OUT_OF_MEMORY_MESSAGES
    )
    failure = JobPackages(job.state).explain(records.failure, records.missing_module)
    return replace(result, out_of_memory=lack, reason=f"the script ended with {failure}")


def _failure_of_another_rank(job: Job) -> tuple[int | None, str]:
    """Return another rank of this node that failed, or None, and why. mpirun then ends the others with a signal."""
    for rank in range(1, mpi_env.size()):
        reader = Reader(job.records(rank))
        reader.read()
        if reader.records.failure is not None:
            return rank, reader.records.failure
    return None, ""


def _environment(job: Job, data: Path | None) -> dict[str, str]:
    """Return the script's environment variables."""
    own = {
        metrics.FILE_VARIABLE: str(job.records(mpi_env.rank())),
        caller_origin.JOB_VARIABLE: str(job.folder),
        checkpoints.FOLDER_VARIABLE: str(job.checkpoints),
        "PYTHONUNBUFFERED": "1",
        **{name: os.environ.get(name, value) for name, value in _NO_DISPLAY.items()},
    }
    if job.allows_pickle:
        own[pickled_arrays.VARIABLE] = "1"
    if gpu_preflight.is_optional() and gpu_preflight.visible_gpus() == 0:
        own[gpu_zero.VARIABLE] = "cpu"
    if data is not None:
        own["KEDJA_DATA"] = str(data)
        # Chainer's default cache would take precedence over the data of this drop, and outlive it.
        own["CHAINER_DATASET_ROOT"] = os.environ.get("CHAINER_DATASET_ROOT", str(job.state / "chainer-datasets"))
    # `python` is the Python that runs this, or that of the job's packages, not another one on the path.
    commands = [*JobPackages(job.state).commands(), Path(sys.executable).parent, os.environ.get("PATH", os.defpath)]
    own["PATH"] = os.pathsep.join(map(str, commands))
    found = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [STARTUP, *found, Path(__file__).resolve().parent.parent]
    own["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(str(path) for path in paths))
    return os.environ | own


if __name__ == "__main__":
    # From here on, imports must not find dropped files, such as the script's own requests.py.
    sys.path[:] = [entry for entry in sys.path if Path(entry).absolute() != Path.cwd()]
    sys.exit(main())
