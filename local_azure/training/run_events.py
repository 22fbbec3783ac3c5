"""The events that an Azure ML workspace publishes about a job.

Format: https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning. An event's id is derived from
the job and its state, so that duplicates can be recognised.
"""

import uuid

import httpx

from local_azure.errors import LocalAzureError
from local_azure.training.job_store import JobState, StoredJob

_NAMESPACE = uuid.UUID("6a2b5f0e-2f0b-4d6c-8c57-3f1f7f0f8d11")
_API_VERSION = "2018-01-01"
_KIND = "Microsoft.MachineLearningServices"


class RunEventsError(LocalAzureError):
    """Event Grid did not accept an event."""


class RunEvents:
    """The workspace's topic on the local Event Grid. `address` is the server's URL, `key` the topic's access key."""

    def __init__(self, address: str, key: str, http: httpx.Client | None = None) -> None:
        self._url = f"{address.rstrip('/')}/topics/workspace/api/events"
        self._key = key
        self._http = http or httpx.Client(timeout=10, trust_env=False)

    def publish(self, job: StoredJob, state: JobState) -> None:
        """Publish that the job has changed to this state.

        Raises:
            RunEventsError: Event Grid did not accept the events.
        """
        try:
            response = self._http.post(
                self._url,
                params={"api-version": _API_VERSION},
                headers={"aeg-sas-key": self._key},
                json=events(job, state),
            )
        except httpx.TransportError as error:
            raise RunEventsError(f"Event Grid at {self._url} does not answer: {error!r}.") from error
        if not response.is_success:
            raise RunEventsError(f"Event Grid at {self._url} answered {response.status_code}: {response.text[:200]}")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def events(job: StoredJob, state: JobState) -> list[dict[str, object]]:
    """Return RunStatusChanged, and RunCompleted if the job is completed."""
    kinds = ["RunStatusChanged", *(["RunCompleted"] if state is JobState.COMPLETED else [])]
    return [_event(job, state, kind) for kind in kinds]


def _event(job: StoredJob, state: JobState, kind: str) -> dict[str, object]:
    experiment_id = str(uuid.uuid5(_NAMESPACE, job.experiment))
    ended_at = job.ended if state.is_final else job.started
    data: dict[str, object] = {
        "experimentId": experiment_id,
        "experimentName": job.experiment,
        "runId": job.name,
        "runType": None,
        "runTags": dict(job.tags),
        "runProperties": {},
    }
    if kind == "RunStatusChanged":
        data["runStatus"] = state
    return {
        "id": str(uuid.uuid5(_NAMESPACE, f"{job.name}/{kind}/{state}")),
        "subject": f"experiments/{experiment_id}/runs/{job.name}",
        "eventType": f"{_KIND}.{kind}",
        "eventTime": (ended_at or job.created).isoformat(),
        "data": data,
        "dataVersion": "1.0",
    }
