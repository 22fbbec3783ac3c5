"""The port to the service that runs jobs and keeps models: Azure ML in the cloud, or a local job runner.

Implementations: `function_app.azure.ml_service` and `local_azure.training.service`.
`tests/contract/test_training_service.py` tests both against this contract.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from function_app.ports.metrics import RunSeries

JOB_TAG = "kedja_job"
"""Tag on a model version: the name of the job that produced it."""

RECEIPT_TAG = "kedja_receipt"
"""Tag on a job and on a model version: `<experiment>/<drop>` of its receipt."""


class JobStatus(enum.StrEnum):
    """The status of a job, independent of the service's own terms."""

    STARTING = "starting"
    """Accepted, but the script has not started: queued, waiting for a node, or building an image."""
    RUNNING = "running"
    """The script runs, or its outputs are being uploaded."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED)


@frozen(kw_only=True)
class JobRequest:
    """A job to run.

    `document` is a complete Azure ML command-job or sweep-job YAML document as plain JSON values, without Kedja's own
    block, checked by `function_app.jobspec.schema`. Its inputs are `azureml://datastores/<datastore>/paths/<path>`. It
    has no `code`: the training service adds the release's `training_job`.
    """

    name: str
    document: Mapping[str, Any]


@frozen(kw_only=True)
class Job:
    """A job as the training service reports it. Times are aware; `detail` is the service's term for the status."""

    name: str
    status: JobStatus
    detail: str
    experiment: str
    tags: Mapping[str, str]
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    error: str | None = None
    links: Mapping[str, str] = {}
    """URLs of pages about the job: `studio`, `mlflow`, …"""


@frozen(kw_only=True)
class BlobFolder:
    """A folder of blobs in the service's storage account. `prefix` ends with a slash."""

    container: str
    prefix: str


@frozen(kw_only=True)
class LogPage:
    """Part of a job's log. `next_offset` is where the next page starts; `complete`: the log will not grow."""

    text: str
    next_offset: int
    complete: bool


@frozen(kw_only=True)
class ModelRegistration:
    """A model version to create from a file or folder under a job's outputs, such as `outputs/model.npz`.

    `is_mlflow`: it is a folder in MLflow's format, which MLflow loads without code of the script's.
    """

    model: str
    job: str
    path: str
    is_mlflow: bool = False
    description: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]


@frozen(kw_only=True)
class ModelVersion:
    """A registered model version. `version` is a number in digits."""

    model: str
    version: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]
    created: datetime | None = None
    archived: bool = False


@frozen(kw_only=True)
class Compute:
    """A compute that runs jobs. `nodes` is the current number of nodes."""

    name: str
    state: str
    size: str
    nodes: int
    max_nodes: int
    error: str | None = None
    is_low_priority: bool = False
    """Nodes may be preempted at any time; jobs on them then end as canceled."""


class JobService(Protocol):
    """The operations on jobs."""

    def submit(self, request: JobRequest) -> Job:
        """Start the job, or return the job that an earlier, equal call started.

        Raises:
            JobConflict: a different job has this name.
            JobRefused: the service rejects the document.
        """

    def get(self, name: str) -> Job:
        """Return the job.

        Raises:
            JobNotFound: there is no such job.
        """

    def list(self) -> Iterator[Job]:
        """Yield Kedja's jobs (those with `RECEIPT_TAG`), newest first; later pages are requested as needed.

        A first response shows that the workspace exists, even if a request about a single job fails.
        """

    def cancel(self, name: str) -> None:
        """Ask the job to stop; has no effect on a job that has ended.

        Raises:
            JobNotFound: there is no such job.
        """

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        """Return up to `limit` bytes of the job's output from byte `offset`; whole lines unless one is longer.

        A negative offset counts from the current end. If the log does not exist yet, the page is empty.

        Raises:
            JobNotFound: there is no such job.
        """

    def outputs(self, name: str) -> BlobFolder:
        """Return the folder of the job's `./outputs`, also before they exist; for an ended sweep, the best trial's.

        Raises:
            JobNotFound: there is no such job.
        """

    def metrics(self, name: str) -> Mapping[str, float]:
        """Return the latest value of each metric that the job has logged so far.

        Raises:
            JobNotFound: there is no such job.
        """

    def metric_series(self, name: str) -> RunSeries:
        """Return every value of each metric that the job has logged so far, by step, and its parameters.

        Raises:
            JobNotFound: there is no such job.
        """


class ModelService(Protocol):
    """The operations on registered models."""

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Return the versions of the model with `JOB_TAG` == job that are not archived, lowest version first."""

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        """Create a new version. Not idempotent: callers check with `find_model` first.

        Raises:
            ModelRefused: the service will never accept this version.
        """

    def archive_model(self, model: str, version: str) -> None:
        """Remove a version from every list that consumers use, without deleting its files.

        Has no effect if there is no such version.
        """

    def model_names(self) -> Sequence[str]:
        """Return the names of all models, sorted; `models` may return no version of some of them."""

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        """Return versions that are not archived, highest version first, of one model or of all Kedja's models."""


class ComputeService(Protocol):
    """The operations on computes."""

    def computes(self) -> Sequence[Compute]:
        """Return the computes that can run jobs."""

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        """Create a cluster that scales to zero, or change the max number of nodes of a cluster of this size.

        Returns before the cluster is ready.

        Raises:
            ComputeRefused: the service will never accept the cluster, or has one with this name and another size.
            AppNotAllowed: the app's identity may not create compute.
        """


class TrainingService(JobService, ModelService, ComputeService, Protocol):
    """The operations of a training service that Kedja uses.

    Every call may raise TrainingServiceUnavailable. No call waits for a job, and each is safe to repeat.
    """
