"""The local training service: implements the port in `function_app.ports.training_service`.

It runs no jobs itself, so that they survive a `kill -9` of the functions host. It uses the job store, from which
`local_azure.training.job_runner` runs jobs, MLflow, and the jobs' folders.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from function_app.errors import ComputeRefused, InvalidSettings, JobRefused, ModelRefused
from function_app.ports.metrics import RunSeries
from function_app.ports.training_service import (
    BlobFolder,
    Compute,
    Job,
    JobRequest,
    JobStatus,
    LogPage,
    ModelRegistration,
    ModelVersion,
)
from local_azure.training.created_computes import COMPUTES_FILE, CreatedComputes
from local_azure.training.job_document import CommandJob
from local_azure.training.job_folder import JOBS, JobFolder
from local_azure.training.job_process import is_alive
from local_azure.training.job_store import DATABASE, ON_A_NODE, JobState, JobStore, StoredJob
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused
from local_azure.training.mlflow_run import ensure_run
from local_azure.training.mlflow_server import ARTIFACTS_CONTAINER
from local_azure.training.model_registry import ModelRegistry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")  # Azure ML's rule; here it becomes the name of a folder
THIS_MACHINE = "this machine"
"""The size of the computes that the settings name."""
_STATUS = {
    JobState.QUEUED: JobStatus.STARTING,
    JobState.PREPARING: JobStatus.STARTING,
    JobState.RUNNING: JobStatus.RUNNING,
    JobState.FINALIZING: JobStatus.RUNNING,
    JobState.COMPLETED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.CANCELED: JobStatus.CANCELED,
}


def connect(environ: Mapping[str, str]) -> "LocalTrainingService":
    """Return the service that the settings describe.

    KEDJA_LOCAL_TRAINING is the runner's folder, MLFLOW_TRACKING_URI the URL of the MLflow server, and
    KEDJA_LOCAL_COMPUTES the names that a job may use as `compute`, separated by commas (default: gpu-cluster).

    Raises:
        InvalidSettings: KEDJA_LOCAL_TRAINING or MLFLOW_TRACKING_URI is not set.
    """
    for name in ("KEDJA_LOCAL_TRAINING", "MLFLOW_TRACKING_URI"):
        if not environ.get(name):
            raise InvalidSettings(f"{name} is not set; `make up` sets it for the functions host that it starts.")
    computes = environ.get("KEDJA_LOCAL_COMPUTES", "gpu-cluster").split(",")
    folder = Path(environ["KEDJA_LOCAL_TRAINING"]).absolute()
    return LocalTrainingService(
        store=JobStore(folder / DATABASE),
        mlflow=MlflowClient(environ["MLFLOW_TRACKING_URI"]),
        jobs=folder / JOBS,
        compute_names=tuple(name.strip() for name in computes if name.strip()),
    )


@frozen(kw_only=True)
class LocalTrainingService:
    """Implements `TrainingService`. `jobs` is the folder with all jobs' folders."""

    store: JobStore
    mlflow: MlflowClient
    jobs: Path
    compute_names: tuple[str, ...]

    def submit(self, request: JobRequest) -> Job:
        """Add the job to the store, from which the runner starts it. Needs neither the runner nor MLflow.

        Raises:
            JobRefused: this machine cannot run it.
            JobConflict: a job of this name has a different document.
        """
        if not _NAME.fullmatch(request.name):
            raise JobRefused(
                f"name: {request.name!r} is not a valid job name. Use letters, digits, `_` and `-`, at most 255."
            )
        compute = CommandJob.from_document(request.document).compute
        if compute not in (names := [*self.compute_names, *self._created_computes.read()]):
            known = ", ".join(sorted(names))
            raise JobRefused(f"compute: {compute!r} does not exist on this machine. Use one of: {known}.")
        return self._job(self.store.submit(request.name, request.document))

    def get(self, name: str) -> Job:
        """Return the job.

        Raises:
            JobNotFound: there is no such job.
        """
        return self._job(self.store.get(name))

    def list(self) -> Iterator[Job]:
        """Yield Kedja's jobs, newest first."""
        return map(self._job, self.store.newest())

    def cancel(self, name: str) -> None:
        """Ask the runner to end the job.

        Raises:
            JobNotFound: there is no such job.
        """
        self.store.request_cancel(name)

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        """Read the log that the runner writes.

        Raises:
            JobNotFound: there is no such job.
        """
        job = self.store.get(name)
        return self._folder(name).read_log(offset, limit, ended=job.state.is_final)

    def outputs(self, name: str) -> BlobFolder:
        """Return the folder `outputs` in the artifacts of the job's MLflow run, which is created if necessary.

        Raises:
            JobNotFound: there is no such job.
        """
        run = ensure_run(self.store, self.mlflow, self.store.get(name))
        return BlobFolder(container=ARTIFACTS_CONTAINER, prefix=f"{run.artifacts}/outputs/")

    def metrics(self, name: str) -> Mapping[str, float]:
        """Return the latest metrics of the job's MLflow run.

        Raises:
            JobNotFound: there is no such job.
        """
        run = self.store.get(name).run
        return {} if run is None else self.mlflow.metrics(run.run_id)

    def metric_series(self, name: str) -> RunSeries:
        """Return the metrics of the job's MLflow run over time.

        Raises:
            JobNotFound: there is no such job.
        """
        run = self.store.get(name).run
        return RunSeries() if run is None else self.mlflow.series(run.run_id)

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Return the versions in MLflow's registry that this job created."""
        return ModelRegistry(self.mlflow).find(model, job)

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        """Create a version in MLflow's registry.

        Raises:
            JobNotFound: there is no such job.
            ModelRefused: MLflow refuses the version.
        """
        run = ensure_run(self.store, self.mlflow, self.store.get(registration.job))
        try:
            return ModelRegistry(self.mlflow).register(registration, run.run_id)
        except MlflowRefused as error:
            raise ModelRefused(f"Model {registration.model!r} cannot be registered: {error}") from error

    def archive_model(self, model: str, version: str) -> None:
        """Mark a version in MLflow's registry as archived."""
        ModelRegistry(self.mlflow).archive(model, version)

    def model_names(self) -> Sequence[str]:
        """Return the names of the models in MLflow's registry."""
        return ModelRegistry(self.mlflow).names()

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        """Return Kedja's versions in MLflow's registry."""
        return ModelRegistry(self.mlflow).versions(model)

    def computes(self) -> Sequence[Compute]:
        """Return the computes that jobs may use; all of them are this machine."""
        runner = self.store.runner()
        is_running = runner is not None and is_alive(runner.process)
        busy = [
            CommandJob.from_document(job.document).compute for job in self.store.unfinished() if job.state in ON_A_NODE
        ]
        places = runner.concurrency if runner is not None else 0
        every = {**self._created_computes.read(), **dict.fromkeys(self.compute_names, (THIS_MACHINE, places))}
        return [
            Compute(
                name=name,
                state="Running" if is_running else "Stopped",
                size=size,
                nodes=busy.count(name),
                max_nodes=max_nodes,
                error=None
                if is_running
                else "The training runner is not running. Start the local stack with `make up`.",
            )
            for name, (size, max_nodes) in every.items()
        ]

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        """Add a compute that jobs may use. It is this machine, whatever its size says.

        Raises:
            ComputeRefused: the name is invalid, or exists with another size.
        """
        if not _NAME.fullmatch(name):
            raise ComputeRefused(f"name: {name!r} is not a valid name of a compute. Use letters, digits, `_` and `-`.")
        if name in self.compute_names and size != THIS_MACHINE:
            raise ComputeRefused(
                f"Compute {name!r} cannot be created: it exists already, with the size {THIS_MACHINE}."
            )
        if name not in self.compute_names:
            self._created_computes.create(name, size, max_nodes)
        return next(compute for compute in self.computes() if compute.name == name)

    @property
    def _created_computes(self) -> CreatedComputes:
        return CreatedComputes(path=self.jobs.with_name(COMPUTES_FILE))

    def _folder(self, name: str) -> JobFolder:
        return JobFolder(self.jobs / name)

    def _job(self, job: StoredJob) -> Job:
        is_canceling = job.cancel_requested and not job.state.is_final
        links = {"log": self._folder(job.name).log.as_uri()}
        if job.run is not None:
            links["mlflow"] = f"{self.mlflow.address}/#/experiments/{job.run.experiment_id}/runs/{job.run.run_id}"
        return Job(
            name=job.name,
            status=JobStatus.CANCELING if is_canceling else _STATUS[job.state],
            detail="CancelRequested" if is_canceling else job.state.value,
            experiment=job.experiment,
            tags=job.tags,
            created=job.created,
            started=job.started,
            ended=job.ended,
            error=job.error if job.state.is_final else None,
            links=links,
        )
