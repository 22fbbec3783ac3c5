"""Views: what the HTTP API answers with. Times are in UTC, sizes in bytes."""

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field

from function_app.azure.mlflow import MOST_METRICS
from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.receipt import Change, Receipt, RegisteredModel, Status
from function_app.models.champion import Champion
from function_app.operations.job_commands import DryRun
from function_app.ports.training_service import JOB_TAG, RECEIPT_TAG, Compute, Job, JobStatus, ModelVersion
from function_app.store.pause import Pause
from function_app.store.receipts import Summary


class LiveJob(BaseModel):
    """The job as its training service has it now. `detail` is the service's own word.

    `metrics` are the latest, of a thousand metrics at most.
    """

    status: JobStatus
    detail: str
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    error: str | None
    links: Mapping[str, str]
    metrics: Mapping[str, float] = {}

    @classmethod
    def of(cls, job: Job, metrics: Mapping[str, float]) -> Self:
        return cls(
            status=job.status,
            detail=job.detail,
            created=job.created,
            started=job.started,
            ended=job.ended,
            error=job.error,
            links=dict(job.links),
            metrics=dict(itertools.islice(metrics.items(), MOST_METRICS)),
        )


class JobView(BaseModel):
    """A job and the drop it comes from, which also stands here before it has become a job (`name` is null then).

    `status`, `reason` and `what_to_do` are the receipt's. `is_last_attempt` tells whether they speak of this job.
    """

    name: str | None
    experiment: str
    folder: str
    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    received_at: datetime
    updated_at: datetime
    attempt: Attempt | None
    is_last_attempt: bool
    attempts: Sequence[str]
    model: RegisteredModel | None
    superseded_by: str | None
    attention: Sequence[str]
    history: Sequence[Change]
    receipt: str = Field(description="Where the receipt is.", examples=["/api/drops/digits/5f…"])
    live: LiveJob | None = None
    live_problem: str | None = Field(default=None, description="Why `live` is missing: the training service's words.")

    @classmethod
    def of(
        cls,
        receipt: Receipt,
        name: str | None = None,
        *,
        live: LiveJob | None = None,
        live_problem: str | None = None,
    ) -> Self:
        """View a receipt as its last job, or as the one of this name."""
        name = name or receipt.job
        return cls(
            name=name,
            experiment=receipt.experiment,
            folder=receipt.folder,
            drop=receipt.drop,
            status=receipt.status,
            reason=receipt.reason,
            what_to_do=receipt.what_to_do,
            received_at=receipt.received_at,
            updated_at=receipt.updated_at,
            attempt=next((_told(one) for one in receipt.attempts if one.job == name), None),
            is_last_attempt=name == receipt.job,
            attempts=[one.job for one in receipt.attempts],
            model=receipt.model,
            superseded_by=receipt.superseded_by,
            attention=receipt.attention,
            history=receipt.history,
            receipt=drop_address(receipt.experiment, receipt.drop),
            live=live,
            live_problem=live_problem,
        )

    @property
    def address(self) -> str:
        return f"/api/jobs/{self.name}" if self.name else self.receipt


def _told(attempt: Attempt) -> Attempt:
    """Return an attempt without what identifies the request that claimed it."""
    return attempt.model_copy(update={"request": None})


class DryRunView(BaseModel):
    """What a submission would do. `document` is the job as it would be sent, without the values of secrets."""

    dry_run: Literal[True] = True
    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    document: Mapping[str, Any] | None
    existing: JobView | None = Field(description="The receipt of the same content, where there is one already.")

    @classmethod
    def of(cls, run: DryRun) -> Self:
        return cls(
            drop=run.drop,
            status=run.status,
            reason=run.reason,
            what_to_do=run.what_to_do,
            document=run.document,
            existing=JobView.of(run.existing) if run.existing else None,
        )


class DropSummary(BaseModel):
    """A line of a list. `model` is `<model>:<version>`."""

    experiment: str
    drop: str
    received_at: datetime
    updated_at: datetime
    status: Status
    job: str | None
    model: str | None
    receipt: str

    @classmethod
    def of(cls, summary: Summary) -> Self:
        return cls(
            experiment=summary.experiment,
            drop=summary.drop,
            received_at=summary.received_at,
            updated_at=summary.updated_at,
            status=Status(summary.status),
            job=summary.job,
            model=summary.model,
            receipt=drop_address(summary.experiment, summary.drop),
        )


class ReceiptView(Receipt):
    """A receipt as people see it: events that wait to be published are none of their business."""

    outbox: ClassVar[tuple[()]] = ()  # type: ignore[misc] # no field, so that no document has it


class DropPage(BaseModel):
    """Part of a list, newest first. `next` as the query's `after` reads on; null is the end."""

    items: Sequence[DropSummary]
    next: str | None


class ModelView(BaseModel):
    """A registered model version. `manifest` is the blob that lists its files, in the container models."""

    model: str
    version: str
    champion: bool
    experiment: str | None
    drop: str | None
    job: str | None
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    created: datetime | None
    manifest: str

    @classmethod
    def of(cls, version: ModelVersion, champion: Champion | None) -> Self:
        experiment, _, drop = version.tags.get(RECEIPT_TAG, "").partition("/")
        return cls(
            model=version.model,
            version=version.version,
            champion=champion is not None and champion.version == version.version,
            experiment=experiment or None,
            drop=drop or None,
            job=version.tags.get(JOB_TAG),
            metrics=_metrics(version.properties.get("kedja_metrics")),
            tags=dict(version.tags),
            created=version.created,
            manifest=f"{naming.MODELS}/{naming.model_prefix(version.model, version.version)}manifest.json",
        )


class ModelList(BaseModel):
    """Model versions, those of one model together, highest version first. `next` as the query's `after` reads on."""

    items: Sequence[ModelView]
    next: str | None


class ModelDetail(BaseModel):
    """A model: which version consumers are to use, and all there are."""

    model: str
    champion: Champion | None
    versions: Sequence[ModelView]


class ComputeView(BaseModel):
    """A place where jobs run. `nodes` is how many run now."""

    name: str
    state: str
    size: str
    nodes: int
    max_nodes: int
    error: str | None

    @classmethod
    def of(cls, compute: Compute) -> Self:
        return cls(
            name=compute.name,
            state=compute.state,
            size=compute.size,
            nodes=compute.nodes,
            max_nodes=compute.max_nodes,
            error=compute.error,
        )


class ComputeList(BaseModel):
    """Where jobs can run. `default` is where those run that name no compute."""

    default: str
    items: Sequence[ComputeView]


class PauseView(BaseModel):
    """Whether drops are being taken."""

    paused: bool
    reason: str | None = None
    by: str | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, pause: Pause | None) -> Self:
        if pause is None:
            return cls(paused=False)
        return cls(paused=True, reason=pause.reason, by=pause.by, since=pause.since)


def drop_address(experiment: str, drop: str) -> str:
    return f"/api/drops/{experiment}/{drop}"


def _metrics(text: str | None) -> dict[str, float]:
    """Read the metrics that a model version's property holds; another program may have written anything there."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(name): float(value) for name, value in values.items() if isinstance(value, int | float)}
