"""Azure ML as an implementation of the training service's port.

Tests check the port's contract, and the calls made, over HTTPS against a stand-in of the control plane: they show how
the real client library is used, not how Azure itself behaves.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Self

from attrs import frozen
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from function_app.azure import ml_log
from function_app.azure.ml_compute import create_compute
from function_app.azure.ml_errors import says_no_workspace, translate_errors
from function_app.azure.ml_mapping import (
    DOCUMENT_PROPERTY,
    compute_of,
    digest_of,
    document_of,
    job_of,
    model_version_of,
    status_of,
)
from function_app.azure.ml_workspace import (
    Connection,
    Workspace,
    default_credential,
)
from function_app.azure.mlflow import ASKED_AT_ONCE, HISTORY, series_of
from function_app.errors import JobConflict, JobNotFound, JobRefused, ModelRefused, TrainingServiceUnavailable
from function_app.ports import job_log
from function_app.ports.metrics import RunSeries
from function_app.ports.training_service import (
    JOB_TAG,
    RECEIPT_TAG,
    BlobFolder,
    Compute,
    Job,
    JobRequest,
    JobStatus,
    LogPage,
    ModelRegistration,
    ModelVersion,
)

_REGISTRATION_TRIES = 5
"""Max tries of a registration if others take the next version number between its look-up and the PUT."""
_PAGE = 100
"""Jobs that are sorted together: the service lists the newest first, but does not guarantee it."""
_LOG = re.compile(r"user_logs/std_log(?:_process_0+)?\.txt")
_BEST_TRIAL = "best_child_run_id"
"""Property of a sweep that has ended: https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters."""

_ARTIFACTS = re.compile(r"azureml://datastores/workspaceartifactstore/(?:paths/)?(?P<path>.+?)/*")


@frozen(kw_only=True)
class AzureMLService:
    """The `TrainingService` of one Azure ML workspace. Creating it makes no calls. The port says what methods raise."""

    connection: Connection

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Self:
        """Return the service of the workspace that the environment names.

        Raises:
            InvalidSettings: The environment does not name a workspace.
        """
        workspace = Workspace.from_environment(environ)
        return cls(connection=Connection(workspace=workspace, credential=default_credential(workspace.client_id)))

    def submit(self, request: JobRequest) -> Job:
        """Start the job with one PUT: its environment, its compute and the release's code exist already.

        The SHA-256 of the document is a property of the job, and shows whether an existing job is this one.
        """
        what = f"Job {request.name!r} cannot be submitted"
        job = self._loaded(request, what)
        # A 404 of the PUT may be about the workspace, or about something that the job needs and that is being created.
        with translate_errors(what, missing=TrainingServiceUnavailable, refused=JobRefused):
            try:
                entity = self.connection.ml.jobs.create_or_update(job)
            except HttpResponseError as error:
                if error.status_code not in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT):
                    raise
                entity = self._existing(request.name)
                if entity is None:
                    raise
        if (entity.properties or {}).get(DOCUMENT_PROPERTY) != digest_of(request):
            receipt = (entity.tags or {}).get(RECEIPT_TAG, "none of Kedja's")
            raise JobConflict(
                f"Job {request.name!r} exists already with different content (its receipt: {receipt}): "
                "submit it under another name."
            )
        return job_of(entity)

    def get(self, name: str) -> Job:
        """Return a job; once it has started, with its times and error from the run history."""
        entity = self._entity(name)
        job = job_of(entity)
        if job.status is JobStatus.STARTING:
            return job
        with translate_errors(f"The run history of job {name!r} cannot be read", missing=TrainingServiceUnavailable):
            return job_of(entity, self._details(name))

    def list(self) -> Iterator[Job]:
        """Yield Kedja's jobs, page by page, without the times and errors that `get` returns."""
        with translate_errors("Jobs cannot be listed"):
            listed = iter(self.connection.ml.jobs.list(tag=RECEIPT_TAG))
        while True:
            with translate_errors("Jobs cannot be listed"):
                page = [*islice(listed, _PAGE)]
            if not page:
                return
            ours = [entity for entity in page if entity is not None and RECEIPT_TAG in (entity.tags or {})]
            yield from sorted(map(job_of, ours), key=_created, reverse=True)

    def cancel(self, name: str) -> None:
        """Request the cancellation of a job; a job that has ended is left as it is."""
        with translate_errors(f"Job {name!r} cannot be canceled", missing=JobNotFound):
            try:
                # Without polling: the library would otherwise leave a thread that waits for the job's end.
                self.connection.ml.jobs.begin_cancel(name, polling=False)
            except HttpResponseError as error:
                if error.status_code not in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT):
                    raise
                if not self.get(name).status.is_final:
                    raise

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        """Read `user_logs/std_log.txt`, for which the run history returns an address that needs no identity.

        For a job on several nodes or processes, this is the log of the first.
        """
        with translate_errors(f"The log of job {name!r} cannot be read", missing=JobNotFound):
            details = self._details(name)
        # The status is read before the log: if the job had ended by then, its log is complete now.
        ended = status_of(str(details.get("status"))).is_final
        files: Mapping[str, str] = details.get("logFiles") or {}
        address = next((files[path] for path in sorted(files) if _LOG.fullmatch(path)), None)
        if address is None:
            return LogPage(text="", next_offset=max(0, offset), complete=ended)
        with translate_errors(f"The log of job {name!r} cannot be read", identity=False):
            data, begin, size = ml_log.read(address, offset, limit)
        return job_log.page(data, offset=begin, limit=limit, size=size, ended=ended)

    def outputs(self, name: str) -> BlobFolder:
        """Return the folder of a job's outputs; for a sweep that has ended, that of its best trial."""
        entity = self._entity(name)
        if best := _best_trial(entity):
            return self._outputs_in(f"ExperimentRun/dcid.{best}")
        default = (entity.outputs or {}).get("default")
        found = _ARTIFACTS.fullmatch(str(getattr(default, "path", "") or ""))
        # A job that waits for its node may not name the folder yet; it is always this one.
        folder = found["path"] if found else f"ExperimentRun/dcid.{name}"
        return self._outputs_in(folder)

    def _outputs_in(self, folder: str) -> BlobFolder:
        return BlobFolder(container=self.connection.workspace.artifacts, prefix=f"{folder}/outputs/")

    def metrics(self, name: str) -> Mapping[str, float]:
        """Return the last value of each metric, from the workspace's MLflow tracking (REST API 2.0, runs/get)."""
        with translate_errors(f"The metrics of job {name!r} cannot be read", missing=JobNotFound):
            url = f"{self.connection.tracking_url}/api/2.0/mlflow/runs/get"
            try:
                run = self.connection.get_json(url, {"run_id": name})["run"]  # a job's run id is its name
            except ResourceNotFoundError:
                self._entity(name)  # raises JobNotFound; an existing job has just not logged anything yet
                return {}
        return {metric["key"]: float(metric["value"]) for metric in run.get("data", {}).get("metrics", ())}

    def metric_series(self, name: str) -> RunSeries:
        """Return the history of each metric, from the workspace's MLflow tracking, with eight calls at once."""
        api = f"{self.connection.tracking_url}/api/2.0/mlflow"
        with translate_errors(f"The metrics of job {name!r} cannot be read", missing=JobNotFound):
            try:
                run = self.connection.get_json(f"{api}/runs/get", {"run_id": name})["run"]
            except ResourceNotFoundError:
                self._entity(name)  # as in `metrics`
                return RunSeries()
            return series_of(run, lambda key, size: self._history(f"{api}/{HISTORY}", name, key, size))

    def _history(self, url: str, name: str, key: str, size: int) -> Iterator[Mapping[str, Any]]:
        query = {"run_id": name, "metric_key": key, "max_results": str(min(size, ASKED_AT_ONCE))}
        while True:
            page = self.connection.get_json(url, query)
            yield from page.get("metrics") or ()
            if not page.get("next_page_token"):
                return
            query["page_token"] = str(page["next_page_token"])

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Return a model's versions that a job made, the lowest first."""
        return [version for version in reversed(self.models(model)) if version.tags.get(JOB_TAG) == job]

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        """Create the version that follows the model's highest.

        The library looks up the next number and then writes the version with it. If another path was written there in
        between, the service refuses, and the look-up is repeated.
        """
        what = f"Model {registration.model!r} of job {registration.job!r} cannot be registered"
        run = _best_trial(self._entity(registration.job)) or registration.job
        for _ in range(_REGISTRATION_TRIES):
            with translate_errors(what, refused=ModelRefused):
                try:
                    return model_version_of(self.connection.ml.models.create_or_update(_model(registration, run)))
                except AzureError as error:
                    if not _is_taken(error):
                        raise
        raise TrainingServiceUnavailable(f"{what}: others took the next version number {_REGISTRATION_TRIES} times.")

    def archive_model(self, model: str, version: str) -> None:
        """Archive a version; a version that does not exist is left as it is."""
        what = f"Version {version} of model {model!r} cannot be archived"
        with translate_errors(what, missing=TrainingServiceUnavailable):
            try:
                self.connection.ml.models.archive(name=model, version=version)
            except ResourceNotFoundError:
                if any(one.version == version for one in self._versions(model)):
                    raise

    def model_names(self) -> Sequence[str]:
        """Return the names of all models in the workspace, sorted."""
        with translate_errors("Models cannot be listed"):
            return sorted(container.name for container in self.connection.ml.models.list())

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        """Return one model's versions that are numbers, or every model's versions that have JOB_TAG."""
        with translate_errors("Models cannot be listed"):
            if model is not None:
                return self._versions(model)
            names = self.model_names()
            return [version for name in names for version in self._versions(name) if JOB_TAG in version.tags]

    def computes(self) -> Sequence[Compute]:
        """Return the workspace's clusters."""
        with translate_errors("Compute cannot be listed"):
            return [compute for each in self.connection.resources("computes") if (compute := compute_of(each))]

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        """Create a cluster, or change its max number of nodes. Raises as `ml_compute.create_compute`."""
        return create_compute(self.connection, name, size=size, max_nodes=max_nodes)

    def _loaded(self, request: JobRequest, what: str) -> Any:  # noqa: ANN401  azure.ai.ml has no types
        from azure.ai.ml import load_job  # noqa: PLC0415  see azure_ml_workspace
        from marshmallow import ValidationError  # noqa: PLC0415  as above, whose dependency it is

        document = document_of(request, self.connection.workspace.code_id)
        try:
            with translate_errors(what, refused=JobRefused):
                return load_job(io.StringIO(json.dumps(document)))  # JSON is YAML
        except ValidationError as error:
            raise JobRefused(f"{what}: {error}") from error

    def _existing(self, name: str) -> Any | None:  # noqa: ANN401  azure.ai.ml has no types
        try:
            return self.connection.ml.jobs.get(name)
        except ResourceNotFoundError as error:
            if says_no_workspace(error):
                raise
            return None

    def _entity(self, name: str) -> Any:  # noqa: ANN401  azure.ai.ml has no types
        with translate_errors(f"Job {name!r} cannot be read", missing=JobNotFound):
            return self.connection.ml.jobs.get(name)

    def _details(self, name: str) -> Mapping[str, Any]:
        return self.connection.get_json(f"{self.connection.history_url}/runs/{name}/details")

    def _versions(self, model: str) -> Sequence[ModelVersion]:
        try:
            versions = [model_version_of(entity) for entity in self.connection.ml.models.list(name=model)]
        except ResourceNotFoundError as error:
            if says_no_workspace(error):
                raise
            return []
        numbered = (version for version in versions if version.version.isdecimal())
        return sorted(numbered, key=lambda version: int(version.version), reverse=True)


def _created(job: Job) -> float:
    return job.created.timestamp() if job.created else 0.0


def _best_trial(entity: Any) -> str | None:  # noqa: ANN401  azure.ai.ml has no types
    """Return the run of a sweep's best trial; None for other jobs, or if the sweep has not chosen one yet."""
    return (entity.properties or {}).get(_BEST_TRIAL) or None


def _model(registration: ModelRegistration, run: str) -> Any:  # noqa: ANN401  azure.ai.ml has no types
    from azure.ai.ml.entities import Model  # noqa: PLC0415  see azure_ml_workspace

    return Model(
        name=registration.model,
        path=f"azureml://jobs/{run}/outputs/artifacts/paths/{registration.path}",
        type="mlflow_model" if registration.is_mlflow else "custom_model",
        description=registration.description,
        tags=dict(registration.tags),
        properties=dict(registration.properties),
    )


def _is_taken(error: AzureError) -> bool:
    """Return whether a version with this number already points to another path."""
    from azure.ai.ml.exceptions import AssetPathException  # noqa: PLC0415  see azure_ml_workspace

    # The library recognizes the service's answer only if it is exactly this sentence.
    return isinstance(error, AssetPathException) or "Asset paths cannot be updated" in str(error)
