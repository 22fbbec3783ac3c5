"""Views: the responses of the HTTP API. Times are in UTC, sizes in bytes."""

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from function_app.azure.mlflow import MOST_METRICS
from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt, RegisteredModel, Status, StatusChange, WaitingFor
from function_app.models.champion import Champion
from function_app.operations.job_commands import DryRun
from function_app.ports.training_service import JOB_TAG, RECEIPT_TAG, Job, JobStatus, ModelVersion
from function_app.store.pause import Pause
from function_app.store.receipts import ReceiptSummary


class View(BaseModel):
    """A view that has the attributes of what it shows: `model_validate` reads them by their names."""

    model_config = ConfigDict(from_attributes=True)


class LiveJob(BaseModel):
    """The job's current state in the training service. `detail` is the service's own term for the status.

    `metrics` has the latest value of at most a thousand metrics.
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
        """View a job and its latest metrics."""
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
    """A job and its drop. Until the drop has become a job, `name` is null.

    `status`, `reason`, `what_to_do` and `waiting_for` come from the receipt; `is_last_attempt` says whether they are
    about this job.
    """

    name: str | None
    experiment: str
    folder: str
    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    waiting_for: WaitingFor | None
    received_at: datetime
    updated_at: datetime
    attempt: Attempt | None
    is_last_attempt: bool
    attempts: Sequence[str]
    model: RegisteredModel | None
    notes: Sequence[str]
    superseded_by: str | None
    attention: Sequence[str]
    history: Sequence[StatusChange]
    receipt: str = Field(description="The receipt's path.", examples=["/api/drops/digits/5f…"])
    live: LiveJob | None = None
    live_problem: str | None = Field(
        default=None, description="Why `live` is missing: the training service's error message."
    )

    @classmethod
    def of(
        cls,
        receipt: Receipt,
        name: str | None = None,
        *,
        live: LiveJob | None = None,
        live_problem: str | None = None,
    ) -> Self:
        """View a receipt as its last job, or as the job with this name."""
        name = name or receipt.job
        return cls(
            name=name,
            experiment=receipt.experiment,
            folder=receipt.folder,
            drop=receipt.drop,
            status=receipt.status,
            reason=receipt.reason,
            what_to_do=receipt.what_to_do,
            waiting_for=receipt.waits_for,
            received_at=receipt.received_at,
            updated_at=receipt.updated_at,
            attempt=next((_told(one) for one in receipt.attempts if one.job == name), None),
            is_last_attempt=name == receipt.job,
            attempts=[one.job for one in receipt.attempts],
            model=receipt.model,
            notes=receipt.notes,
            superseded_by=receipt.superseded_by,
            attention=receipt.attention,
            history=receipt.history,
            receipt=drop_address(receipt.ref),
            live=live,
            live_problem=live_problem,
        )

    @property
    def address(self) -> str:
        """The path of the job, or of the receipt until there is a job."""
        return f"/api/jobs/{self.name}" if self.name else self.receipt


def _told(attempt: Attempt) -> Attempt:
    """Return an attempt without the identity of the request that claimed it."""
    return attempt.replace(request=None)


class DryRunView(BaseModel):
    """What a submission would do. `document` is the job to be sent, without the values of secrets."""

    dry_run: Literal[True] = True
    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    waiting_for: WaitingFor | None
    document: Mapping[str, Any] | None
    existing: JobView | None = Field(description="The receipt of the same content, if it already exists.")

    @classmethod
    def of(cls, run: DryRun) -> Self:
        """View a dry run."""
        return cls(
            drop=run.drop,
            status=run.status,
            reason=run.reason,
            what_to_do=run.what_to_do,
            waiting_for=run.waiting_for,
            document=run.document,
            existing=JobView.of(run.existing) if run.existing else None,
        )


class DropSummary(BaseModel):
    """A receipt in a list. `model` is `<model>:<version>`."""

    experiment: str
    drop: str
    received_at: datetime
    updated_at: datetime
    status: Status
    job: str | None
    model: str | None
    receipt: str

    @classmethod
    def of(cls, summary: ReceiptSummary) -> Self:
        """View the summary of a receipt."""
        return cls(
            experiment=summary.experiment,
            drop=summary.drop,
            received_at=summary.received_at,
            updated_at=summary.updated_at,
            status=Status(summary.status),
            job=summary.job,
            model=summary.model,
            receipt=drop_address(summary.ref),
        )


class ReceiptView(Receipt):
    """A receipt as callers see it, without the events that wait to be published."""

    outbox: ClassVar[tuple[()]] = ()  # type: ignore[misc] # not a field, so that it is not in the schema


class DropPage(BaseModel):
    """Part of a list, newest first. Send `next` as `after` to get the next page; null is the end."""

    items: Sequence[DropSummary]
    next: str | None


class ModelView(BaseModel):
    """A registered model version. `manifest` is the blob that lists its files, as `<container>/<blob>`."""

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
        """View a version of a model with this champion."""
        ref = DropRef.parse(version.tags.get(RECEIPT_TAG, ""))
        return cls(
            model=version.model,
            version=version.version,
            champion=champion is not None and champion.version == version.version,
            experiment=ref.experiment if ref else None,
            drop=ref.drop if ref else None,
            job=version.tags.get(JOB_TAG),
            metrics=_metrics(version.properties.get("kedja_metrics")),
            tags=dict(version.tags),
            created=version.created,
            manifest=f"{naming.MODELS}/{naming.model_prefix(version.model, version.version)}manifest.json",
        )


class ModelList(BaseModel):
    """Model versions, grouped by model, highest version first. Send `next` as `after` to get the next page."""

    items: Sequence[ModelView]
    next: str | None


class ModelDetail(BaseModel):
    """A model: its champion, which consumers should use, and all its versions."""

    model: str
    champion: Champion | None
    versions: Sequence[ModelView]


class ComputeView(View):
    """A compute that runs jobs. `nodes` is the current number of nodes."""

    name: str
    state: str
    size: str
    nodes: int
    max_nodes: int
    error: str | None


class ComputeList(BaseModel):
    """The computes that can run jobs. `default` is used by jobs that name no compute."""

    default: str
    items: Sequence[ComputeView]


class PauseView(BaseModel):
    """Whether intake is paused, why, by whom and since when."""

    paused: bool
    reason: str | None = None
    by: str | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, pause: Pause | None) -> Self:
        """View a pause, or that there is none."""
        if pause is None:
            return cls(paused=False)
        return cls(paused=True, reason=pause.reason, by=pause.by, since=pause.since)


def drop_address(ref: DropRef) -> str:
    """Return the path of a receipt."""
    return f"/api/drops/{ref}"


def _metrics(text: str | None) -> dict[str, float]:
    """Read the metrics in a model version's property, which another program may have set to anything."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(name): float(value) for name, value in values.items() if isinstance(value, int | float)}
