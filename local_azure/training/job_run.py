"""Runs one job on this machine, from the queue to its end."""

import logging
import os
import signal
import threading
import time
from pathlib import Path

from attrs import define, field, frozen
from azure.storage.blob import BlobServiceClient

from function_app.errors import JobRefused, TrainingServiceError, TrainingServiceUnavailable
from local_azure.training.job_document import BlobInput, CommandJob
from local_azure.training.job_files import JobFilesError, download, files_of, restore, save, upload
from local_azure.training.job_folder import JobFolder
from local_azure.training.job_process import JobProcess, job_environment
from local_azure.training.job_store import JobState, JobStore, RunRecord, StoredJob
from local_azure.training.mlflow_client import MlflowClient
from local_azure.training.mlflow_run import ensure_run
from local_azure.training.mlflow_server import ARTIFACTS_CONTAINER

MANIFEST = ".kedja-manifest.json"
"""Uploaded last: if it exists, all other files do."""

_LOST = "lost: the job's process was killed from outside, together with the runner or by the machine"
_POLL = 0.1  # seconds
_MLFLOW_STATUS = {JobState.COMPLETED: "FINISHED", JobState.FAILED: "FAILED", JobState.CANCELED: "KILLED"}

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class RunnerContext:
    """What the jobs of one runner share.

    `packages` is the folder in which jobs keep installed packages, and `uv` the program that installs them.
    `grace` is the time in seconds between SIGTERM and SIGKILL for a canceled job, `stop_grace` the max when the runner
    stops.
    """

    store: JobStore
    mlflow: MlflowClient
    blobs: BlobServiceClient
    jobs: Path
    code: Path
    python: Path
    packages: Path
    uv: Path
    stopping: threading.Event = field(factory=threading.Event)
    grace: float = 30.0
    stop_grace: float = 5.0

    def folder(self, name: str) -> JobFolder:
        """Return the folder of the job of this name."""
        return JobFolder(self.jobs / name)


@define
class JobRun:
    """A job of the runner. `run` starts it; `resume` continues where a killed runner left it."""

    context: RunnerContext
    job: StoredJob
    _process: JobProcess | None = field(default=None, init=False)

    @property
    def _folder(self) -> JobFolder:
        return self.context.folder(self.job.name)

    def run(self) -> None:
        """Run a claimed job to its end, or put it back into the queue if the runner stops."""
        try:
            command = CommandJob.from_document(self.job.document)
            self._folder.recreate(self.context.code)
            record = self._mlflow_run()
            if record is not None:
                self._download(command)
        except (JobRefused, JobFilesError, TrainingServiceError, OSError) as error:
            self._end(JobState.FAILED, str(error))
            return
        self.job = self.context.store.get(self.job.name)
        if self.job.cancel_requested:
            self._end(JobState.CANCELED, None)
        elif self.context.stopping.is_set() or record is None:
            self.context.store.requeue(self.job.name)
        else:
            self._start(command, record)

    def resume(self) -> None:
        """Continue with a job whose process runs, or has ended before its outputs were uploaded."""
        if self.job.state is JobState.FINALIZING or self.job.process is None:
            self._finalize()
        else:
            _log.info("job %s: resumed, process %d", self.job.name, self.job.process.pid)
            self._watch(JobProcess(self.job.process), CommandJob.from_document(self.job.document).timeout)

    def cancel_queued(self) -> None:
        """Cancel a job that has not started."""
        self._end(JobState.CANCELED, None)

    def fail(self, error: str) -> None:
        """Kill the job's process, and end the job as failed."""
        if self._process is not None:
            self._process.kill()
        self._end(JobState.FAILED, error)

    def _mlflow_run(self) -> RunRecord | None:
        """Return the job's MLflow run; wait while MLflow does not answer. None if canceled, or if the runner stops."""
        logged = False
        while True:
            try:
                return ensure_run(self.context.store, self.context.mlflow, self.job)
            except TrainingServiceUnavailable as error:
                if not logged:
                    _log.warning("job %s waits: %s", self.job.name, error)
                    logged = True
            is_canceled = self.context.store.get(self.job.name).cancel_requested
            if is_canceled or self.context.stopping.wait(1):
                return None

    def _download(self, command: CommandJob) -> None:
        for name, value in command.inputs.items():
            if isinstance(value, BlobInput):
                target = self._folder.inputs / name
                count = download(self.context.blobs, value, target)
                _log.info("job %s: input %s has %d files", self.job.name, name, count)
        for name, place in command.outputs.items():
            target = self._folder.named_outputs / name
            target.mkdir(parents=True)
            if place is not None and (count := restore(self.context.blobs, place, target)):
                _log.info("job %s: output %s already has %d files", self.job.name, name, count)

    def _start(self, command: CommandJob, record: RunRecord) -> None:
        folder = self._folder
        variables = {
            **command.environment_variables,
            "AZUREML_RUN_ID": self.job.name,
            "DO_NOT_TRACK": "true",
            "KEDJA_PACKAGES_CACHE": str(self.context.packages),
            "KEDJA_UV": str(self.context.uv),
            "KEDJA_GPU_OPTIONAL": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_EXPERIMENT_NAME": self.job.experiment,
            "MLFLOW_RUN_ID": record.run_id,
            "MLFLOW_TRACKING_URI": self.context.mlflow.address,
        }
        environment = job_environment(folder, self.context.python, os.environ, variables)
        line = command.command_line(folder.inputs, folder.named_outputs)
        process = JobProcess.start(folder, line, environment)
        self.context.store.set_running(self.job.name, process.id)
        process.go()
        _log.info("job %s: started, process %d", self.job.name, process.id.pid)
        self._watch(process, command.timeout)

    def _watch(self, process: JobProcess, timeout: float | None) -> None:
        """Wait for the process to end; end it if the job is canceled or exceeds its time, or the runner stops."""
        self._process = process
        store = self.context.store
        reason: str | None = None
        kill_at = 0.0
        while process.is_alive():
            self.job = store.get(self.job.name)
            now = time.monotonic()
            if reason is None:
                reason = self._reason_to_end(timeout)
                if reason is not None:
                    _log.info("job %s: SIGTERM, %s", self.job.name, reason)
                    process.signal(signal.SIGTERM)
                    kill_at = now + self.context.grace
            elif now >= kill_at:
                process.signal(signal.SIGKILL)
            if self.context.stopping.is_set():
                kill_at = min(kill_at, now + self.context.stop_grace)
            time.sleep(_POLL)
        self.job = store.get(self.job.name)
        if reason == "the runner stops":
            try:
                self._save_mounted_outputs()
            except JobFilesError as problem:  # storage may have stopped earlier
                _log.warning("job %s: it restarts without the outputs that it saved: %s", self.job.name, problem)
            store.requeue(self.job.name)
            return
        store.set_finalizing(self.job.name, *self._outcome(reason))
        self._finalize()

    def _reason_to_end(self, timeout: float | None) -> str | None:
        if self.job.cancel_requested:
            return "canceled"
        if self.context.stopping.is_set():
            return "the runner stops"
        started = self.job.started
        if timeout is not None and started is not None and time.time() - started.timestamp() > timeout:
            return f"limits.timeout: canceled after {timeout:g} s"
        return None

    def _outcome(self, reason: str | None) -> tuple[JobState, str | None]:
        exit_code = self._folder.read_exit_code()
        if reason is not None:
            return JobState.CANCELED, None if reason == "canceled" else reason
        if exit_code == 0:
            return JobState.COMPLETED, None
        if self.job.cancel_requested:  # by a runner that was killed before it stored this
            return JobState.CANCELED, None
        return JobState.FAILED, _LOST if exit_code is None else f"the command ended with exit code {exit_code}"

    def _finalize(self) -> None:
        self.job = self.context.store.get(self.job.name)
        outcome, error = self.job.outcome or JobState.FAILED, self.job.error
        try:
            self._upload()
        except JobFilesError as problem:
            if self.context.stopping.is_set():
                return  # storage has stopped too; the next runner uploads
            outcome, error = JobState.FAILED, f"{error}; {problem}" if error else str(problem)
        self._end(outcome, error)

    def _upload(self) -> None:
        if self.job.run is None:
            return
        folder, prefix = self._folder, self.job.run.artifacts
        outputs = CommandJob.from_document(self.job.document).outputs
        self._save_mounted_outputs()
        uploads = [
            *files_of(folder.work / "outputs", f"{prefix}/outputs"),
            *files_of(folder.work / "logs", f"{prefix}/logs"),
            *files_of(folder.log.parent, f"{prefix}/{folder.log.parent.name}"),
        ]
        for name in (name for name, place in outputs.items() if place is None):
            uploads += files_of(folder.named_outputs / name, f"{prefix}/{folder.named_outputs.name}/{name}")
        upload(self.context.blobs.get_container_client(ARTIFACTS_CONTAINER), uploads, last=MANIFEST)

    def _save_mounted_outputs(self) -> None:
        """Save the outputs that have a path, as a mount would have, whatever the outcome of the job."""
        for name, place in CommandJob.from_document(self.job.document).outputs.items():
            folder = self._folder.named_outputs / name
            if place is not None and folder.is_dir():
                save(self.context.blobs, folder, place)

    def _end(self, state: JobState, error: str | None) -> None:
        self.job = self.context.store.get(self.job.name)
        if self.job.run is not None:
            try:
                self.context.mlflow.update_run(self.job.run.run_id, _MLFLOW_STATUS[state])
            except (
                TrainingServiceError
            ) as problem:  # the job store is authoritative; only MLflow's page looks unfinished
                _log.warning("job %s: %s", self.job.name, problem)
        self._folder.clean_up()
        self.context.store.end(self.job.name, state, error)
        _log.info("job %s: %s%s", self.job.name, state.lower(), f", {error}" if error else "")
