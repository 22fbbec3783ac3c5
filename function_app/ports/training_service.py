"""The port to whatever runs jobs and keeps models: Azure ML in a cloud, a local runner on one machine.

Implementations: `function_app.azure.ml_service` and `local_azure.training.service`.
`tests/contract/test_training_service.py` holds both to what is written here.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from function_app.ports.metrics import RunSeries

JOB_TAG = "kedja_job"
"""Tag on a model version: the name of the job that made it."""

RECEIPT_TAG = "kedja_receipt"
"""Tag on a job and on a model version: `<experiment>/<drop>` of its receipt."""


class JobStatus(enum.StrEnum):
    """What a job is doing, whatever words its service has for it."""

    STARTING = "starting"
    """Accepted, and no script line has run: queued, waiting for a node, building an image."""
    RUNNING = "running"
    """The script runs, or its outputs are being uploaded."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED)


@frozen(kw_only=True)
class JobRequest:
    """A job to run.

    `document` is a complete Azure ML command-job or sweep-job YAML document as plain JSON values, without Kedja's own
    block, checked by `function_app.jobspec.schema`. Its inputs are `azureml://datastores/<datastore>/paths/<path>`. It
    has no `code`: a service adds the release's `training_job`.
    """

    name: str
    document: Mapping[str, Any]


@frozen(kw_only=True)
class Job:
    """A job as its service knows it. Times are aware; `detail` is the service's own word for the status."""

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
    """Where a person can look: `studio`, `mlflow`, …"""


@frozen(kw_only=True)
class BlobFolder:
    """A folder of blobs in the service's storage account. `prefix` ends in a slash."""

    container: str
    prefix: str


@frozen(kw_only=True)
class LogPage:
    """A piece of a job's log. `next_offset` is where to read on; `complete` says that the log will not grow."""

    text: str
    next_offset: int
    complete: bool


@frozen(kw_only=True)
class ModelRegistration:
    """A model version to create from a file or folder under a job's outputs, such as `outputs/model.npz`."""

    model: str
    job: str
    path: str
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
    """A place where jobs run. `nodes` is how many run now."""

    name: str
    state: str
    size: str
    nodes: int
    max_nodes: int
    error: str | None = None
    is_low_priority: bool = False
    """Its nodes may be taken away at any time, and the jobs on them end as canceled."""


class TrainingService(Protocol):
    """What Kedja asks of a training service.

    Every call may raise TrainingServiceUnavailable. No call waits for a job, and each is safe to repeat.
    """

    def submit(self, request: JobRequest) -> Job:
        """Start the job, or return the one that an earlier, equal call started.

        Raises JobConflict where a different job has this name, JobRefused where the service rejects the document.
        """

    def get(self, name: str) -> Job:
        """Raise JobNotFound where there is none."""

    def list(self) -> Iterator[Job]:
        """Yield Kedja's jobs (those with `RECEIPT_TAG`), newest first, asking for more as they are taken.

        Its first answer shows that the workspace is there, whatever is said about a single job.
        """

    def cancel(self, name: str) -> None:
        """Ask the job to stop; nothing happens to one that has ended. Raise JobNotFound where there is none."""

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        """Return up to `limit` bytes of the job's output from byte `offset`; whole lines unless one is longer.

        A negative offset counts from the end of what there is.

        A log that does not exist yet is an empty page. Raise JobNotFound where there is no such job.
        """

    def outputs(self, name: str) -> BlobFolder:
        """Return where the job's `./outputs` are, or will be; of a sweep that has ended, those of its best trial.

        Raise JobNotFound where there is no such job.
        """

    def metrics(self, name: str) -> Mapping[str, float]:
        """Return the latest value of each metric the job has logged so far. Raise JobNotFound where there is none."""

    def metric_series(self, name: str) -> RunSeries:
        """Return every value of each metric that the job has logged so far, by step, and its parameters.

        Raise JobNotFound where there is none.
        """

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Return the versions of the model with `JOB_TAG` == job that are not archived, lowest version first."""

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        """Create a new version. Two calls make two versions: callers look with `find_model` first.

        Raise ModelRefused where the service will never accept it.
        """

    def archive_model(self, model: str, version: str) -> None:
        """Take a version out of every list that consumers use, without deleting what it points to.

        Nothing happens where there is no such version (any more).
        """

    def model_names(self) -> Sequence[str]:
        """Return the names of all models, in order; of some there may be no version that `models` returns."""

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        """Return versions that are not archived, highest version first, of one model or of all Kedja's."""

    def computes(self) -> Sequence[Compute]:
        """Return where jobs can run."""

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        """Create a cluster that is empty while no job runs, or change how many nodes one of this size may have.

        Returns before it is ready. Raises ComputeRefused where the service will never accept it, or has one of another
        size, AppNotAllowed where the app's identity may not make compute.
        """
