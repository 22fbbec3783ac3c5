"""The local training service behind a door, so that a control plane can throttle, fail, be slow, or lose its answer.

`KEDJA_TRAINING_SERVICE` names `connect`; `KEDJA_FAULTS_DOOR` is the address of the door. Each call about a job knocks
before it is made, and one that changes something after it is done. What the door answers then is what the service would
answer: too many requests, an error, nothing at all; after a submission that means "created, but the answer was lost".
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx
from attrs import frozen

from function_app.errors import TrainingServiceUnavailable
from function_app.training_service import JobRequest, ModelRegistration, TrainingService
from local_azure import training

_READS = frozenset({"get", "logs", "outputs", "metrics", "metric_series", "find_model", "models"})
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
    return cast("TrainingService", TrainingBehindADoor(service=training.connect(environ), http=http))


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
            self._knock(call, about)
            result = method(*arguments, **options)
            if call in _CHANGES:
                self._knock(_CHANGES[call], about)
            return result

        return knocking

    def _knock(self, call: str, about: str) -> None:
        try:
            answer = self.http.post(f"/{call}/{about}")
        except httpx.TransportError as error:
            raise TrainingServiceUnavailable(f"The training service does not answer to {call}: {error!r}.") from error
        if not answer.is_success:
            raise TrainingServiceUnavailable(f"The training service answered {answer.status_code} to {call}.", 1.0)


def _about(argument: object) -> str:
    """Return the job that a call is about: it names the experiment."""
    match argument:
        case JobRequest(name=name):
            return name
        case ModelRegistration(job=job):
            return job
        case _:
            return str(argument)
