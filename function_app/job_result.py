"""A job's own word on how it ended: `outputs/.kedja-manifest.json`, which `training_job.launch` writes last."""

from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError

from function_app.documents import Document
from function_app.errors import BlobNotFound, KedjaError
from function_app.storage import Blobs
from function_app.training_service import BlobFolder

MANIFEST = ".kedja-manifest.json"
LIMIT = 32 << 20
"""Bytes that are read of it: some 200,000 files. A longer one is cut, and so it is no document."""


class UnreadableResult(KedjaError):
    """The job left a result that cannot be understood."""


class OutputFile(Document):
    """A file under the job's outputs. `size` in bytes, `sha256` in hex."""

    path: str
    size: int
    sha256: str


class JobResult(Document):
    """How a job ended, what it measured last, and each file it made."""

    result: Literal["completed", "failed", "changed-since-snapshot", "refused"]
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
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
