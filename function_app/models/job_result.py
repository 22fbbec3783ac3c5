"""The job's own report of how it ended: `outputs/.kedja-manifest.json`, which `training_job.launch` writes last."""

import itertools
import re
import threading
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from attrs import frozen
from pydantic import AfterValidator, ValidationError, model_validator

from function_app.domain.document import Document
from function_app.errors import Unreadable
from function_app.models.result_document import Malformed, OutputFile, read_result
from function_app.ports.storage import Blobs, read_if_there
from function_app.ports.training_service import BlobFolder

MANIFEST = ".kedja-manifest.json"
LIMIT = 32 << 20
"""Max size of a result in bytes: enough for some 200,000 files."""
DEFAULT_PATH = "model.npz"
MLMODEL = "MLmodel"
"""The file that a folder in MLflow's format has (https://mlflow.org/docs/latest/ml/model/)."""
READS_AT_ONCE = 2
"""Max results that a process reads at the same time: each takes memory until it is read."""

OUTPUTS = "outputs/"
FILES_NAMED = 20
"""Max files that a message names if none of them is the model."""
METRICS_CARRIED = 100
"""Max metrics that a receipt, an event and the champion carry; the model's `manifest.json` has more."""
LONGEST_METRIC = 255
"""Max characters in the name of a metric that is carried: as many as a gate may name."""
LONGEST_REASON = 2000
_FAILED_RANK = re.compile(r"rank (\d{1,6}) ended with ")

Reason = Annotated[str, AfterValidator(lambda text: text[:LONGEST_REASON])]

_reading = threading.BoundedSemaphore(READS_AT_ONCE)


class UnreadableResult(Unreadable):
    """The job left a result that is not valid."""


class _Ending(Document):
    """The keys of a result other than its metrics and files."""

    result: Literal["completed", "failed", "changed-since-snapshot", "refused"]
    reason: Reason | None = None
    exit_code: int | None = None
    signal: Reason | None = None
    out_of_memory: bool = False
    failed_rank: int | None = None
    model: str | None = None
    model_reason: Reason | None = None

    @model_validator(mode="after")
    def _failed_rank_of_earlier_releases(self) -> Self:
        """Take the rank from the reason, where jobs wrote it before release 0.2.0."""
        found = _FAILED_RANK.match(self.reason or "")
        if self.failed_rank is not None or found is None or "failed_rank" in self.model_fields_set:
            return self
        return self.model_copy(update={"failed_rank": int(found[1])})


@frozen(kw_only=True)
class JobResult:
    """How a job ended, its last metrics, and each file that it created, by its path.

    `metrics` has the first `result_document.MOST_METRICS` of `metrics_total`.
    """

    result: str
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: bool = False
    failed_rank: int | None = None
    """The rank whose failure had mpirun end the first."""
    metrics: Mapping[str, float] = {}
    metrics_total: int = 0
    notes: tuple[str, ...] = ()
    """What the job's owner should know, in order, each in one line."""
    model: str | None = None
    """The file or folder below the outputs that `launch` takes for the model. A job can write anything here."""
    model_reason: str | None = None
    """Why it is that one or, without a model, what the script wrote elsewhere."""
    files: Mapping[str, OutputFile] = {}

    @classmethod
    def read(
        cls, blobs: Blobs, outputs: BlobFolder, *, metric: str | None = None, files: bool = True
    ) -> "JobResult | None":
        """Return the result of a job, or None if there is none (yet, or because the job was killed).

        The metric called `metric` is kept however many there are. With `files=False`, no files are kept.

        Raises:
            UnreadableResult: The file is not a valid result.
        """
        name = f"{outputs.prefix}{MANIFEST}"
        try:
            with _reading:
                blob = read_if_there(blobs, outputs.container, name, limit=LIMIT + 1)
                if blob is None:
                    return None
                document = read_result(blob.data, _Ending.model_fields, limit=LIMIT, metric=metric, files=files)
            ending = _Ending.model_validate(document.values)
        except Malformed as error:
            raise UnreadableResult(f"{outputs.container}/{name} is not a job's result: {error}.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise UnreadableResult(f"{outputs.container}/{name} is not a job's result: {reason}.") from error
        return cls(
            **dict(ending),
            metrics=document.metrics,
            metrics_total=document.metrics_total,
            notes=document.notes,
            files=document.files,
        )

    def model_path(self, wanted: str | None) -> tuple[str | None, str]:
        """Return the path of the model below the outputs and why it is that one, or None and what is wrong.

        It is the file or folder that is `wanted`, else the one that the job names, else `DEFAULT_PATH`, else the only
        `.npz` file.
        """
        if wanted is not None:
            wanted = wanted.removeprefix("./").removeprefix(OUTPUTS).rstrip("/")
            if self._has(wanted):
                return wanted, f"The model is {OUTPUTS}{wanted}, as kedja.register.path in job.yaml says."
        elif self.model and self._has(self.model):
            return self.model, self.model_reason or f"The model is {OUTPUTS}{self.model}, as the job says."
        elif DEFAULT_PATH in self.files:
            return DEFAULT_PATH, f"The model is {OUTPUTS}{DEFAULT_PATH}."
        else:
            arrays = [path for path in self.files if path.endswith(".npz")]
            if len(arrays) == 1:
                return arrays[0], f"The model is {OUTPUTS}{arrays[0]}, the only .npz file there."
            wanted = DEFAULT_PATH
        some = ", ".join(itertools.islice(self.files, FILES_NAMED)) or "nothing"
        problem = f"The job did not write {OUTPUTS}{wanted}. It wrote: {some}."
        elsewhere = self.model_reason if self.model is None else None
        return None, f"{problem} {elsewhere}"[:LONGEST_REASON] if elsewhere else problem

    def is_mlflow(self, path: str) -> bool:
        """Return whether the model at this path is a folder in MLflow's format."""
        return f"{path}/{MLMODEL}" in self.files

    def _has(self, wanted: str) -> bool:
        """Return whether the job created this file, or files in this folder."""
        return wanted in self.files or any(path.startswith(f"{wanted}/") for path in self.files)


def truncate_metrics(
    metrics: Mapping[str, float], first: str | None = None, *, total: int | None = None
) -> dict[str, Any]:
    """Return the metrics that are carried, by name, and `metrics_total`: how many there are.

    The metric named `first`, which the gate uses, comes before all others. `total` also counts metrics that are not
    among `metrics`.
    """
    short = sorted((name for name in metrics if len(name) <= LONGEST_METRIC), key=lambda name: (name != first, name))
    count = len(metrics) if total is None else total
    return {"metrics": {name: metrics[name] for name in short[:METRICS_CARRIED]}, "metrics_total": count}
