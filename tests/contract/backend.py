"""What the contract suite needs of a training service beside the port itself.

`tests.contract.azure_ml_backend` and `tests.contract.local_backend` each offer
`running(folder: Path, storage: str) -> AbstractContextManager[Backend]`: `folder` is an empty folder of its own,
`storage` the connection string of an Azurite with the containers of `CONTAINERS`. Everything that it started has ended
when the context ends.
"""

from collections.abc import Mapping
from typing import Protocol

from function_app.ports.training_service import BlobFolder, Job, JobRequest, JobStatus, TrainingService

CONTAINERS = ("data", "scripts", "snapshots", "models", "receipts", "azureml")


class Backend(Protocol):
    """One training service and whatever stands behind it, with a hand on the jobs in it."""

    @property
    def service(self) -> TrainingService:
        """The service that is held to the contract."""

    def job(
        self,
        name: str,
        *,
        experiment: str = "digits",
        receipt: str | None = "digits/0123456789abcdef",
        tags: Mapping[str, str] | None = None,
        log: str = "",
        metrics: Mapping[str, float] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        exit_code: int = 0,
        hold: bool = False,
    ) -> JobRequest:
        """Return a request for a command job, submitted by nobody yet.

        Once it is submitted, the job prints `log` exactly, logs `metrics`, waits for `release` where `hold` is true,
        writes `outputs` (path under ./outputs → content), and ends with `exit_code`. Equal arguments give equal
        documents; another `log` gives another document (so that it is another job to `submit`).
        `receipt` is the tag RECEIPT_TAG, and None leaves the tag out: somebody else's job.
        """

    def refused_job(self, name: str) -> JobRequest:
        """Return a request that this service will never accept: its compute does not exist."""

    def run_until(self, name: str, status: JobStatus) -> Job:
        """Wait, at most 60 s, until `service.get` says this status, and return what it said.

        Fails with AssertionError when the time is over, or when the job ended otherwise. For RUNNING it waits until
        the log and the metrics of a held job are there to be read.
        """

    def release(self, name: str) -> None:
        """Let a held job go on."""

    def files(self, folder: BlobFolder) -> Mapping[str, bytes]:
        """Return what stands in the folder: path under its prefix → content."""
