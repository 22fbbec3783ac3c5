"""Settings of the service, read from the environment in one place."""

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from function_app.errors import InvalidSettings
from function_app.timing import SETTING as TIMING
from function_app.timing import Timing

STORAGE = "KedjaStorage"
"""Prefix of the settings of the account that users drop files into."""
LONGEST_DAYS = 36_500
"""A century: with longer times no date can be calculated."""


@frozen(kw_only=True)
class Settings:
    """Every setting of the service. Times are in seconds."""

    quiet_period: float = 10.0
    """KEDJA_QUIET_PERIOD: how long a folder must not have changed before it is taken for complete."""
    max_wait: float = 1800.0
    """KEDJA_MAX_WAIT: after this time a drop is taken as it is, even where uploads still go on."""
    training_service: str = "function_app.azure.ml_service:AzureMLService.connect"
    """KEDJA_TRAINING_SERVICE: `module:function` that makes the training service from the environment."""
    compute: str = "gpu-cluster"
    """KEDJA_COMPUTE: where jobs run that name no compute."""
    environment: str = "azureml:kedja-chainer:1"
    """KEDJA_ENVIRONMENT: what jobs run in that name no environment. A fixed version, so that no call looks it up."""
    max_jobs: int = 100
    """KEDJA_MAX_JOBS: how many jobs may go on at once, in all; 0 is no limit."""
    max_jobs_per_experiment: int = 10
    """KEDJA_MAX_JOBS_PER_EXPERIMENT: the same, of one experiment, so that its storm leaves room for others."""
    max_preemptions: int = 5
    """KEDJA_MAX_PREEMPTIONS: how often in a row a job that was killed goes on as the next attempt; 0 is never."""
    keep_snapshots: float = 0.0
    """KEDJA_KEEP_SNAPSHOTS: days that the snapshot of a drop is kept that no kept model came of; 0 is for ever."""
    keep_receipts: float = 0.0
    """KEDJA_KEEP_RECEIPTS: days that its receipt is; 0 is for ever."""
    keep_models: float = 0.0
    """KEDJA_KEEP_MODELS: days that a model version is kept that is neither champion nor deployed; 0 is for ever."""
    start_deadline: float = 1800.0
    """KEDJA_START_DEADLINE: after this time without a node a job's receipt says so; 0 is never."""
    event_grid_endpoint: str | None = None
    """KEDJA_EVENT_GRID_ENDPOINT: the custom topic that announcements go to; none are published without it."""
    event_grid_key: str | None = field(default=None, repr=False)
    """KEDJA_EVENT_GRID_KEY: its key, on one machine. In Azure the identity is used."""
    client_id: str | None = None
    """AZURE_CLIENT_ID: the user-assigned identity, where the app has one."""
    approvals: str = "none"
    """KEDJA_APPROVALS: `required` has dropped code wait until somebody approves it; `none` runs it."""
    auth: str | None = None
    """KEDJA_AUTH: how callers of the HTTP API are known: `easy-auth`, `keys`, both with a comma, or `local`."""
    event_origins: tuple[str, ...] = ()
    """KEDJA_EVENT_ORIGINS: who may send CloudEvents to /api/events, by the names in their handshakes, with commas."""
    timing: Timing = field(factory=Timing)
    """KEDJA_TIMING: checks, rounds, leases, retries and deadlines, as a JSON object; for tests and local stacks."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            InvalidSettings: naming the setting, its value and what it may be.
        """
        defaults = cls()
        return cls(
            quiet_period=_seconds(environ, "KEDJA_QUIET_PERIOD", defaults.quiet_period),
            max_wait=_seconds(environ, "KEDJA_MAX_WAIT", defaults.max_wait),
            training_service=environ.get("KEDJA_TRAINING_SERVICE", defaults.training_service),
            compute=environ.get("KEDJA_COMPUTE", defaults.compute),
            environment=environ.get("KEDJA_ENVIRONMENT", defaults.environment),
            max_jobs=_count(environ, "KEDJA_MAX_JOBS", defaults.max_jobs),
            max_jobs_per_experiment=_count(environ, "KEDJA_MAX_JOBS_PER_EXPERIMENT", defaults.max_jobs_per_experiment),
            max_preemptions=_count(environ, "KEDJA_MAX_PREEMPTIONS", defaults.max_preemptions),
            start_deadline=_seconds(environ, "KEDJA_START_DEADLINE", defaults.start_deadline, zero="never"),
            keep_snapshots=_days(environ, "KEDJA_KEEP_SNAPSHOTS"),
            keep_receipts=_days(environ, "KEDJA_KEEP_RECEIPTS"),
            keep_models=_days(environ, "KEDJA_KEEP_MODELS"),
            event_grid_endpoint=environ.get("KEDJA_EVENT_GRID_ENDPOINT") or None,
            event_grid_key=environ.get("KEDJA_EVENT_GRID_KEY") or None,
            client_id=environ.get("AZURE_CLIENT_ID") or None,
            approvals=_choice(environ, "KEDJA_APPROVALS", ("none", "required")),
            auth=environ.get("KEDJA_AUTH") or None,
            event_origins=_words(environ.get("KEDJA_EVENT_ORIGINS", "")),
            timing=Timing.read(environ.get(TIMING)),
        )


def _choice(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = environ.get(name) or allowed[0]
    if value not in allowed:
        raise InvalidSettings(f"{name} is {value!r}: it is one of {', '.join(allowed)}.")
    return value


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal()):
        raise InvalidSettings(f"{name} is {value!r}: it is a whole number, at least 0.")
    return int(value)


def _days(environ: Mapping[str, str], name: str) -> float:
    value = environ.get(name) or "0"
    days = _number(value)
    if days is None or days > LONGEST_DAYS:
        raise InvalidSettings(f"{name} is {value!r}: it is a number of days, at most {LONGEST_DAYS}; 0 is for ever.")
    return days


def _seconds(environ: Mapping[str, str], name: str, default: float, *, zero: str | None = None) -> float:
    """Read a time; `zero` says what 0 means, where it means anything."""
    value = environ.get(name)
    if value is None:
        return default
    seconds = _number(value)
    if seconds is None or seconds > LONGEST_DAYS * 86_400 or (seconds == 0 and zero is None):
        least = f"; 0 is {zero}" if zero else ", more than 0"
        raise InvalidSettings(
            f"{name} is {value!r}: it is a number of seconds, at most those of {LONGEST_DAYS} days{least}."
        )
    return seconds


def _number(value: str) -> float | None:
    """Return a number from 0 on, or None where the text is none; what is infinite, or not a number, is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
