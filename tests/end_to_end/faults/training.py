"""The local training service behind a door, so that a control plane can throttle, fail, be slow, or lose its answer.

`KEDJA_TRAINING_SERVICE` names `connect`; `KEDJA_FAULTS_DOOR` is the address of the door. Each call about a job knocks
before it is made, and one that changes something after it is done. What the door answers then is what the service would
answer: too many requests, an error, nothing at all; after a submission that means "created, but the answer was lost".
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx
from attrs import evolve, frozen

from function_app.errors import JobNotFound, TrainingServiceUnavailable
from function_app.ports.training_service import Job, JobRequest, ModelRegistration, TrainingService
from local_azure.training import service

SHOWN_WITHOUT_TAGS = 299
"""The door's answer for a job whose tags somebody has taken away."""

_READS = frozenset({"get", "logs", "outputs", "metrics", "metric_series", "find_model", "models"})
_OF_A_JOB = frozenset({"get", "cancel", "canceled", "logs", "outputs", "metrics", "register_model"})
"""Calls that say whether there is a job, and may be wrong."""
_CHANGES: Mapping[str, str] = {
    "submit": "submitted",
    "cancel": "canceled",
    "register_model": "registered_model",
    "archive_model": "archived_model",
}
"""Calls that change something, with the word at the door when they are done."""


def connect(environ: Mapping[str, str]) -> TrainingService:
    """Return the local training service, with the door in front of it."""
    http = httpx.Client(base_url=environ["KEDJA_FAULTS_DOOR"], timeout=120, trust_env=False)
    return cast("TrainingService", TrainingBehindADoor(service=service.connect(environ), http=http))


@frozen(kw_only=True)
class TrainingBehindADoor:
    """A `TrainingService` that hands every call on."""

    service: TrainingService
    http: httpx.Client

    def __getattr__(self, call: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.service, call)
        if call not in _READS and call not in _CHANGES:
            return method

        @functools.wraps(method)
        def knocking(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on as they are
            about = "/".join(map(_about, arguments))
            is_bare = self._knock(call, about) == SHOWN_WITHOUT_TAGS
            result = method(*arguments, **options)
            if call in _CHANGES:
                self._knock(_CHANGES[call], about)
            return evolve(result, tags={}) if is_bare and isinstance(result, Job) else result

        return knocking

    def _knock(self, call: str, about: str) -> int:
        """Return the door's answer. Raise what the service would where that is a refusal."""
        try:
            answer = self.http.post(f"/{call}/{about}")
        except httpx.TransportError as error:
            raise TrainingServiceUnavailable(f"The training service does not answer to {call}: {error!r}.") from error
        if answer.status_code == httpx.codes.NOT_FOUND and call in _OF_A_JOB:
            raise JobNotFound(f"The training service answered 404 to {call}.")
        if not answer.is_success:
            raise TrainingServiceUnavailable(f"The training service answered {answer.status_code} to {call}.", 1.0)
        return answer.status_code


def _about(argument: object) -> str:
    """Return the job that a call is about: it names the experiment."""
    match argument:
        case JobRequest(name=name):
            return name
        case ModelRegistration(job=job):
            return job
        case _:
            return str(argument)
