"""A job's own word on how it ended: `outputs/.kedja-manifest.json`, which `training_job.launch` writes last."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from function_app.documents import Document
from function_app.errors import BlobNotFound, KedjaError
from function_app.storage import Blobs
from function_app.training_service import BlobFolder

MANIFEST = ".kedja-manifest.json"
LIMIT = 32 << 20
"""Bytes that are read of it: some 200,000 files. A longer one is cut, and so it is no document."""

METRICS_CARRIED = 100
"""Metrics that a receipt, an event and the champion carry; the model's `manifest.json` has all."""
LONGEST_METRIC = 255
"""Characters of a metric's name that is carried: what a gate may name."""
LONGEST_REASON = 2000
LONGEST_PATH = 1024
"""Characters of a blob's name
(https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata)."""

Reason = Annotated[str, AfterValidator(lambda text: text[:LONGEST_REASON])]


class UnreadableResult(KedjaError):
    """The job left a result that cannot be understood."""


class OutputFile(Document):
    """A file under the job's outputs. `size` in bytes, `sha256` in hex."""

    path: Annotated[str, Field(max_length=LONGEST_PATH)]
    size: int
    sha256: str


class JobResult(Document):
    """How a job ended, what it measured last, and each file it made."""

    result: Literal["completed", "failed", "changed-since-snapshot", "refused"]
    reason: Reason | None = None
    exit_code: int | None = None
    signal: Reason | None = None
    out_of_memory: bool = False
    metrics: Mapping[str, float] = {}
    files: tuple[OutputFile, ...] = ()

    @classmethod
    def read(cls, blobs: Blobs, outputs: BlobFolder) -> "JobResult | None":
        """Return the result of a job, or None where there is none (yet, or because it was killed).

        Raises:
            UnreadableResult: where the file is no such document.
        """
        name = f"{outputs.prefix}{MANIFEST}"
        try:
            return cls.decoded(blobs.read(outputs.container, name, limit=LIMIT).data)
        except BlobNotFound:
            return None
        except ValidationError as error:
            raise UnreadableResult(
                f"{outputs.container}/{name} is no result of a job: {error.errors()[0]['msg']}"
            ) from error


def carried(metrics: Mapping[str, float], first: str | None = None) -> dict[str, Any]:
    """Return as many metrics as are carried, by their names, and `metrics_total`: how many there are.

    The one named `first`, which the gate decided by, comes before all others.
    """
    short = sorted((name for name in metrics if len(name) <= LONGEST_METRIC), key=lambda name: (name != first, name))
    return {"metrics": {name: metrics[name] for name in short[:METRICS_CARRIED]}, "metrics_total": len(metrics)}
