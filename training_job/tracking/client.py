"""The records that a job sends to an MLflow tracking server, and the interface of a client."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from training_job.errors import TrainingJobError

REFUSALS = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
"""MLflow's error codes for records that it never accepts."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One value of one metric. `time` is in milliseconds since 1970."""

    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True, kw_only=True)
class Param:
    """A parameter of a run. It can be written once."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A tag of a run."""

    name: str
    value: str


Record = Metric | Param | Tag


class TrackingError(TrainingJobError):
    """The tracking server cannot be reached, or its response is invalid."""


class RecordsRefusedError(TrackingError):
    """The server does not accept a record of the batch; sending it again does not help."""


class TrackingClient(Protocol):
    """Two calls of an MLflow tracking server.

    Any exception other than RecordsRefusedError means that the call may succeed later.
    """

    def log_batch(self, run_id: str, records: Sequence[Record]) -> None:
        """Add records to a run.

        Raises:
            RecordsRefusedError: The batch contains a record that the server does not accept.
            TrackingError: The server cannot be reached, or its response is invalid.
        """

    def param_names(self, run_id: str) -> Collection[str]:
        """Return the names of a run's parameters.

        Raises:
            TrackingError: The server cannot be reached, or its response is invalid.
        """
