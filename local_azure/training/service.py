"""The training service of one machine, behind the port of `function_app.training_service`.

It runs nothing itself: jobs survive a `kill -9` of the functions host. It talks to the job store, which
`local_azure.training.job_runner` works through, to MLflow, and to the jobs' folders.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from function_app.errors import ComputeRefused, InvalidSettings, JobRefused, ModelRefused
from function_app.metric_series import RunSeries
from function_app.training_service import (
    BlobFolder,
    Compute,
    Job,
    JobRequest,
    JobStatus,
    LogPage,
    ModelRegistration,
    ModelVersion,
)
from local_azure.training.created_computes import FILE as COMPUTES
from local_azure.training.created_computes import MadeComputes
from local_azure.training.job_document import CommandJob
from local_azure.training.job_folder import JOBS, JobFolder
from local_azure.training.job_process import is_alive
from local_azure.training.job_store import DATABASE, ON_A_NODE, JobState, JobStore, StoredJob
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused
from local_azure.training.mlflow_run import ensure_run
from local_azure.training.mlflow_server import ARTIFACTS_CONTAINER
from local_azure.training.model_registry import ModelRegistry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")  # Azure ML's rule; it becomes a folder's name here
THIS_MACHINE = "this machine"
"""The size of the computes that settings name."""
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

    KEDJA_LOCAL_TRAINING is the folder that the runner works in, MLFLOW_TRACKING_URI the MLflow server's address,
    KEDJA_LOCAL_COMPUTES the names that a job may have as `compute`, with commas (default: gpu-cluster).
    Raises InvalidSettings.
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
    """Implements `TrainingService`. `jobs` is the folder of the jobs' folders."""

    store: JobStore
    mlflow: MlflowClient
    jobs: Path
    compute_names: tuple[str, ...]

    def submit(self, request: JobRequest) -> Job:
        """Add the job to the store, which the runner works through. Needs neither the runner nor MLflow."""
        if not _NAME.fullmatch(request.name):
            raise JobRefused(f"name: {request.name!r} is no job name. Use letters, digits, `_` and `-`, at most 255.")
        compute = CommandJob.from_document(request.document).compute
        if compute not in (names := [*self.compute_names, *self._made.read()]):
            known = ", ".join(sorted(names))
            raise JobRefused(f"compute: there is no {compute!r} on this machine; there is {known}.")
        return self._job(self.store.submit(request.name, request.document))

    def get(self, name: str) -> Job:
        """Return the job."""
        return self._job(self.store.get(name))

    def list(self) -> Iterator[Job]:
        """Yield Kedja's jobs, newest first."""
        return map(self._job, self.store.newest())

    def cancel(self, name: str) -> None:
        """Ask the runner to end the job."""
        self.store.request_cancel(name)

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        """Read the job's log where the runner writes it."""
        job = self.store.get(name)
        return self._folder(name).read_log(offset, limit, ended=job.state.is_final)

    def outputs(self, name: str) -> BlobFolder:
        """Return the folder `outputs` among the artifacts of the job's MLflow run, which is made where need be."""
        run = ensure_run(self.store, self.mlflow, self.store.get(name))
        return BlobFolder(container=ARTIFACTS_CONTAINER, prefix=f"{run.artifacts}/outputs/")

    def metrics(self, name: str) -> Mapping[str, float]:
        """Return the metrics of the job's MLflow run."""
        run = self.store.get(name).run
        return {} if run is None else self.mlflow.metrics(run.run_id)

    def metric_series(self, name: str) -> RunSeries:
        """Return the values of the job's MLflow run."""
        run = self.store.get(name).run
        return RunSeries() if run is None else self.mlflow.series(run.run_id)

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Look in MLflow's registry."""
        return ModelRegistry(self.mlflow).find(model, job)

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        """Create a version in MLflow's registry. Raises JobNotFound where there is no such job."""
        run = ensure_run(self.store, self.mlflow, self.store.get(registration.job))
        try:
            return ModelRegistry(self.mlflow).register(registration, run.run_id)
        except MlflowRefused as error:
            raise ModelRefused(f"Model {registration.model!r} cannot be registered: {error}") from error

    def archive_model(self, model: str, version: str) -> None:
        """Mark a version in MLflow's registry."""
        ModelRegistry(self.mlflow).archive(model, version)

    def model_names(self) -> Sequence[str]:
        return ModelRegistry(self.mlflow).names()

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        """Return the versions in MLflow's registry that Kedja made."""
        return ModelRegistry(self.mlflow).versions(model)

    def computes(self) -> Sequence[Compute]:
        """Return the names that jobs may have as compute; all of them are this machine."""
        runner = self.store.runner()
        is_running = runner is not None and is_alive(runner.process)
        busy = [
            CommandJob.from_document(job.document).compute for job in self.store.unfinished() if job.state in ON_A_NODE
        ]
        places = runner.concurrency if runner is not None else 0
        every = {**self._made.read(), **dict.fromkeys(self.compute_names, (THIS_MACHINE, places))}
        return [
            Compute(
                name=name,
                state="Running" if is_running else "Stopped",
                size=size,
                nodes=busy.count(name),
                max_nodes=max_nodes,
                error=None if is_running else "No training runner runs. Start the local stack with `make up`.",
            )
            for name, (size, max_nodes) in every.items()
        ]

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        """Add a name that jobs may have as compute. It is this machine, whatever size was asked for."""
        if not _NAME.fullmatch(name):
            raise ComputeRefused(f"name: {name!r} is no compute's name. Use letters, digits, `_` and `-`.")
        if name in self.compute_names and size != THIS_MACHINE:
            raise ComputeRefused(
                f"Compute {name!r} cannot be created: there is one already, of the size {THIS_MACHINE}."
            )
        if name not in self.compute_names:
            self._made.make(name, size, max_nodes)
        return next(compute for compute in self.computes() if compute.name == name)

    @property
    def _made(self) -> MadeComputes:
        return MadeComputes(path=self.jobs.with_name(COMPUTES))

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
