"""Maps Azure ML's data to the types of the training service's port.

The shapes are those of the published REST types: JobBase, ModelVersion and ComputeResource of
Microsoft.MachineLearningServices, and RunDetails of the run history.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dateutil.parser import isoparse

from function_app.ports.training_service import Compute, Job, JobRequest, JobStatus, ModelVersion

DOCUMENT_PROPERTY = "kedja_document"
"""Property of a job, immutable once set: the SHA-256 of the document that the job was submitted with."""

_STATUSES = {
    "notstarted": JobStatus.STARTING,
    "queued": JobStatus.STARTING,
    "preparing": JobStatus.STARTING,
    "provisioning": JobStatus.STARTING,
    "starting": JobStatus.STARTING,
    "running": JobStatus.RUNNING,
    "finalizing": JobStatus.RUNNING,
    "completed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "notresponding": JobStatus.FAILED,
    "cancelrequested": JobStatus.CANCELING,
    "canceled": JobStatus.CANCELED,
}

_log = logging.getLogger(__name__)


def status_of(word: str) -> JobStatus:
    """Return the status for Azure ML's word, in upper or lower case.

    An unknown word, such as Paused, counts as RUNNING: that neither ends the job's receipt nor releases its slot. The
    word itself is in `Job.detail`.
    """
    status = _STATUSES.get(word.lower())
    if status is None:
        _log.warning("Azure ML reports the job status %r, which Kedja does not know; it counts as running.", word)
        return JobStatus.RUNNING
    return status


def digest_of(request: JobRequest) -> str:
    """Return the SHA-256 (hex) of the document.

    It does not include the code: a new release between two equal calls does not make the second a different job.
    """
    document = json.dumps(request.document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(document.encode()).hexdigest()


def document_of(request: JobRequest, code_id: str) -> dict[str, Any]:
    """Return the document as `load_job` takes it: with the job's name, the release's code and its own digest."""
    document: dict[str, Any] = {**request.document, "name": request.name}
    document["properties"] = {**document.get("properties", {}), DOCUMENT_PROPERTY: digest_of(request)}
    code = f"azureml:{code_id}"
    if document.get("type") == "sweep":
        document["trial"] = {**document["trial"], "code": code}
    else:
        document["code"] = code
    return document


def job_of(entity: Any, details: Mapping[str, Any] | None = None) -> Job:  # noqa: ANN401  azure.ai.ml has no types
    """Return the job of an `azure.ai.ml` entity. `details` (RunDetails) has its times and its error."""
    details = details or {}
    services = {key.lower(): str(service.endpoint) for key, service in (entity.services or {}).items()}
    # `tracking` is an address for the MLflow client, azureml://…, which browsers cannot open.
    links = {key: endpoint for key, endpoint in services.items() if endpoint.startswith("https://")}
    # The run history may be a moment ahead of the job, and only it has times and errors: its status comes first.
    # The library returns words that it knows as enum members, and others as strings.
    detail = str(details.get("status") or getattr(entity.status, "value", entity.status))
    return Job(
        name=str(entity.name),
        status=status_of(detail),
        detail=detail,
        experiment=str(entity.experiment_name or ""),
        tags=dict(entity.tags or {}),
        created=entity.creation_context.created_at if entity.creation_context else None,
        started=_time(details.get("startTimeUtc")),
        ended=_time(details.get("endTimeUtc")),
        error=_error(details.get("error")),
        links=links,
    )


def model_version_of(entity: Any, *, archived: bool = False) -> ModelVersion:  # noqa: ANN401  as above
    """Return the version of an `azure.ai.ml` model entity."""
    return ModelVersion(
        model=str(entity.name),
        version=str(entity.version),
        tags=dict(entity.tags or {}),
        properties=dict(entity.properties or {}),
        created=entity.creation_context.created_at if entity.creation_context else None,
        archived=archived,
    )


def compute_of(resource: Mapping[str, Any]) -> Compute | None:
    """Return the cluster of a ComputeResource, or None for other types of compute, which Kedja does not use.

    The entity of `azure.ai.ml` lacks the number of nodes, and the errors if there are none.
    """
    outer = resource["properties"]
    if outer.get("computeType") != "AmlCompute":
        return None
    inner = outer.get("properties") or {}
    scale = inner.get("scaleSettings") or {}
    provisioning = str(outer.get("provisioningState") or "Unknown")
    return Compute(
        name=str(resource["name"]),
        state=str(inner.get("allocationState") or provisioning) if provisioning == "Succeeded" else provisioning,
        size=str(inner.get("vmSize") or ""),
        nodes=int(inner.get("currentNodeCount") or 0),
        max_nodes=int(scale.get("maxNodeCount") or 0),
        error=_errors([*(outer.get("provisioningErrors") or ()), *(inner.get("errors") or ())]),
        is_low_priority=str(inner.get("vmPriority")).lower() == "lowpriority",
    )


def _time(value: str | None) -> datetime | None:
    return isoparse(value) if value else None


def _error(value: Mapping[str, Any] | None) -> str | None:
    """Return the message of a RunHistoryErrorResponse, `{"error": {"code", "message"}}`."""
    if not value:
        return None
    error = value.get("error") or {}
    return str(error.get("message") or error.get("code") or "Azure ML gave no reason.")


def _errors(values: list[Mapping[str, Any]]) -> str | None:
    """Return the messages of ErrorResponses, `{"error": {"code", "message"}}`, in one line."""
    return "; ".join(filter(None, map(_error, values))) or None
