"""A training service in memory, whose jobs the test moves along, and a publisher that remembers."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from function_app.domain.cloud_events import EventsRejected, OutgoingEvent, PublishingFailed
from function_app.errors import (
    JobConflict,
    JobNotFound,
    JobRefused,
    ModelRefused,
    TrainingServiceUnavailable,
    WorkspaceNotFound,
)
from function_app.models.job_result import MANIFEST
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
from tests.unit.memory import MemoryBlobs, VirtualClock

OUTPUTS_CONTAINER = "azureml"

# The port has a method called `list`, so these stand outside of its class.
Versions = list[ModelVersion]
Listeners = list[Callable[[str], None]]
Words = list[str]
Calls = list[tuple[str, str]]


@define
class MemoryTraining:
    """Jobs and models. Each change of a job's status is reported to `listeners`, as the workspace's events would."""

    clock: VirtualClock
    blobs: MemoryBlobs
    jobs: dict[str, Job] = field(factory=dict)
    requests: dict[str, JobRequest] = field(factory=dict)
    log_texts: dict[str, str] = field(factory=dict)
    series: dict[str, RunSeries] = field(factory=dict)
    made_computes: dict[str, Compute] = field(factory=dict)
    registrations: list[ModelRegistration] = field(factory=list)
    versions: Versions = field(factory=Versions)
    compute_names: Words = field(factory=lambda: ["gpu-cluster", "cpu-cluster"])
    refusal: str | None = None
    model_refusal: str | None = None
    """Why every submission is refused, if it is."""
    unavailable: bool = False
    is_low_priority: bool = False
    """Whether nodes may be taken away."""
    hidden: set[str] = field(factory=set)
    """Jobs that it does not know, although they continue, and `hidden_once`: the next time that it is asked."""
    hidden_once: set[str] = field(factory=set)
    no_workspace: bool = False
    """Whether jobs cannot be listed."""
    retry_after: float | None = None
    listeners: Listeners = field(factory=Listeners)
    calls: Calls = field(factory=Calls)

    # What tests do in the place of a cluster.

    def move(self, name: str, status: JobStatus, *, error: str | None = None) -> None:
        """Bring a job to a status, and tell of it."""
        job = evolve(self.jobs[name], status=status, detail=status.value.capitalize(), error=error)
        now = self.clock()
        if status is JobStatus.RUNNING and job.started is None:
            job = evolve(job, started=now)
        self.jobs[name] = evolve(job, ended=now) if status.is_final else job
        for listener in self.listeners:
            listener(name)

    def finish(
        self,
        name: str,
        *,
        files: Mapping[str, bytes] | None = None,
        metrics: Mapping[str, float] | None = None,
        exit_code: int = 0,
        **result: object,
    ) -> None:
        """End a job that leaves files and its own result behind, as `training_job.launch` does."""
        made = {"model.npz": b"weights"} if files is None and exit_code == 0 else files or {}
        self.write_outputs(name, made, metrics=metrics or {}, exit_code=exit_code, **result)
        self.move(name, JobStatus.FAILED if exit_code else JobStatus.COMPLETED)

    def write_outputs(
        self, name: str, files: Mapping[str, bytes], *, metrics: Mapping[str, float], exit_code: int, **result: object
    ) -> None:
        """Write what a job made, and its own word on it last."""
        folder = self._folder(name)
        for path, data in files.items():
            self.blobs.upload(folder.container, f"{folder.prefix}{path}", data)
        document = {
            "version": 1,
            "result": "failed" if exit_code else "completed",
            "reason": None,
            "exit_code": exit_code,
            "signal": None,
            "out_of_memory": False,
            # JSON has no NaN and no infinity.
            "metrics": {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()},
            "files": [
                {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for path, data in files.items()
            ],
            **result,
        }
        self.blobs.upload(folder.container, f"{folder.prefix}{MANIFEST}", json.dumps(document).encode())

    def copy_of_all(self, clock: VirtualClock, blobs: MemoryBlobs) -> "MemoryTraining":
        """Return a service with the same jobs and models, of which nobody has been told yet."""
        return evolve(
            self,
            clock=clock,
            blobs=blobs,
            jobs={**self.jobs},
            requests={**self.requests},
            log_texts={**self.log_texts},
            series={**self.series},
            made_computes={**self.made_computes},
            versions=[*self.versions],
            compute_names=[*self.compute_names],
            hidden={*self.hidden},
            hidden_once={*self.hidden_once},
            listeners=[],
            calls=[],
        )

    def current(self, model: str | None = None) -> Versions:
        """Return the versions that are not archived."""
        return [one for one in self.versions if not one.archived and model in (None, one.model)]

    # The port.

    def submit(self, request: JobRequest) -> Job:
        self._called("submit", request.name)
        if self.refusal is not None:
            raise JobRefused(self.refusal)
        if request.name in self.jobs:
            if self.requests[request.name] != request:
                raise JobConflict(f"The job {request.name} exists and is another one.")
            return self.jobs[request.name]
        document: Mapping[str, Any] = json.loads(json.dumps(request.document))
        self.requests[request.name] = JobRequest(name=request.name, document=document)
        self.jobs[request.name] = Job(
            name=request.name,
            status=JobStatus.STARTING,
            detail="Queued",
            experiment=document["experiment_name"],
            tags=document.get("tags", {}),
            created=self.clock(),
            links={"mlflow": f"http://mlflow.test/{request.name}"},
        )
        return self.jobs[request.name]

    def get(self, name: str) -> Job:
        self._called("get", name)
        return self._job(name)

    def list(self) -> Iterator[Job]:
        self._called("list", "")
        if self.no_workspace:
            raise WorkspaceNotFound("There is no workspace.")
        return iter([job for job in reversed(self.jobs.values()) if RECEIPT_TAG in job.tags])

    def cancel(self, name: str) -> None:
        self._called("cancel", name)
        if not self._job(name).status.is_final:
            self.move(name, JobStatus.CANCELED)

    def logs(self, name: str, *, offset: int = 0, limit: int = 1 << 20) -> LogPage:
        self._called("logs", name)
        job, data = self._job(name), self.log_texts.get(name, "").encode()
        start = max(0, len(data) + offset) if offset < 0 else offset
        text = data[start : start + limit].decode()
        return LogPage(text=text, next_offset=start + len(text.encode()), complete=job.status.is_final)

    def outputs(self, name: str) -> BlobFolder:
        self._called("outputs", name)
        self._job(name)
        return self._folder(name)

    def metrics(self, name: str) -> Mapping[str, float]:
        self._called("metrics", name)
        self._job(name)
        return {}

    def metric_series(self, name: str) -> RunSeries:
        self._called("metric_series", name)
        self._job(name)
        return self.series.get(name, RunSeries())

    def find_model(self, model: str, job: str) -> Sequence[ModelVersion]:
        self._called("find_model", model)
        return [version for version in self.current(model) if version.tags.get(JOB_TAG) == job]

    def register_model(self, registration: ModelRegistration) -> ModelVersion:
        self._called("register_model", registration.model)
        if self.model_refusal is not None:
            raise ModelRefused(self.model_refusal)
        self.registrations.append(registration)
        version = ModelVersion(
            model=registration.model,
            version=str(1 + sum(one.model == registration.model for one in self.versions)),
            tags=dict(registration.tags),
            properties=dict(registration.properties),
            created=self.clock(),
        )
        self.versions.append(version)
        return version

    def archive_model(self, model: str, version: str) -> None:
        self._called("archive_model", model)
        self.versions = [
            evolve(one, archived=True) if (one.model, one.version) == (model, version) else one for one in self.versions
        ]

    def model_names(self) -> Sequence[str]:
        self._called("model_names", "")
        return sorted({one.model for one in self.versions})

    def models(self, model: str | None = None) -> Sequence[ModelVersion]:
        self._called("models", model or "")
        return sorted(self.current(model), key=lambda one: int(one.version), reverse=True)

    def computes(self) -> Sequence[Compute]:
        self._called("computes", "")
        return [
            Compute(
                name=name,
                state="Succeeded",
                size="Standard_NC6s_v3",
                nodes=0,
                max_nodes=4,
                is_low_priority=self.is_low_priority,
            )
            for name in self.compute_names
        ]

    def create_compute(self, name: str, *, size: str, max_nodes: int) -> Compute:
        self._called("create_compute", name)
        made = Compute(name=name, state="Creating", size=size, nodes=0, max_nodes=max_nodes)
        self.made_computes[name] = made
        return made

    def _called(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        if self.unavailable:
            raise TrainingServiceUnavailable("The training service is down.", self.retry_after)

    def _job(self, name: str) -> Job:
        is_hidden = name in self.hidden or name in self.hidden_once
        self.hidden_once.discard(name)
        if is_hidden or name not in self.jobs:
            raise JobNotFound(f"There is no job {name}.")
        return self.jobs[name]

    @staticmethod
    def _folder(name: str) -> BlobFolder:
        return BlobFolder(container=OUTPUTS_CONTAINER, prefix=f"ExperimentRun/dcid.{name}/outputs/")


@define
class MemoryPublisher:
    """Remembers what was published, or refuses it."""

    published: list[OutgoingEvent] = field(factory=list)
    refuses: bool = False
    refused: set[str] = field(factory=set)
    """Ids of events that are refused permanently, and keep no other from being accepted."""

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        if self.refuses:
            raise PublishingFailed("The topic accepts nothing now.")
        json.dumps([one.data for one in announcements], allow_nan=False)  # events are JSON
        self.published.extend(one for one in announcements if one.id not in self.refused)
        if refused := [one for one in announcements if one.id in self.refused]:
            raise EventsRejected("The topic refuses an event as it is.", refused)

    def types(self) -> list[str]:
        """Return the type of each event, repeats left out, in the order of their first publication."""
        return [one.type.value for one in {one.id: one for one in self.published}.values()]
