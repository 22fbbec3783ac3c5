"""Settings of the service, read from the environment."""

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from function_app.errors import InvalidSettings
from function_app.timing import SETTING as TIMING
from function_app.timing import Timing

STORAGE = "KedjaStorage"
"""Prefix of the settings of the account that users drop files into."""
LONGEST_DAYS = 36_500
"""A century: longer times overflow dates."""


@frozen(kw_only=True)
class Settings:
    """Every setting of the service. Times are in seconds."""

    quiet_period: float = 10.0
    """KEDJA_QUIET_PERIOD: a folder counts as complete after this time without a change."""
    max_wait: float = 1800.0
    """KEDJA_MAX_WAIT: after this time a drop is processed as it is, even if uploads are still in progress."""
    training_service: str = "function_app.azure.ml_service:AzureMLService.connect"
    """KEDJA_TRAINING_SERVICE: `module:function` that creates the training service from the environment."""
    compute: str = "gpu-cluster"
    """KEDJA_COMPUTE: the default compute for jobs."""
    environment: str = "azureml:kedja-chainer:1"
    """KEDJA_ENVIRONMENT: the default environment for jobs. A fixed version, so that no call needs to look it up."""
    max_jobs: int = 100
    """KEDJA_MAX_JOBS: max concurrent jobs in total; 0 means no limit."""
    max_jobs_per_experiment: int = 10
    """KEDJA_MAX_JOBS_PER_EXPERIMENT: max concurrent jobs of one experiment, so that others get slots; 0: no limit."""
    max_preemptions: int = 5
    """KEDJA_MAX_PREEMPTIONS: how often in a row a killed job resumes as the next attempt; 0 means never."""
    keep_snapshots: float = 0.0
    """KEDJA_KEEP_SNAPSHOTS: days to keep the snapshot of a drop, unless a model from it is kept; 0 means forever."""
    keep_receipts: float = 0.0
    """KEDJA_KEEP_RECEIPTS: days to keep the receipt of such a drop; 0 means forever."""
    keep_models: float = 0.0
    """KEDJA_KEEP_MODELS: days to keep a model version that is neither champion nor deployed; 0 means forever."""
    start_deadline: float = 1800.0
    """KEDJA_START_DEADLINE: after this time without a node, a job's receipt says so; 0 means never."""
    event_grid_endpoint: str | None = None
    """KEDJA_EVENT_GRID_ENDPOINT: the custom topic that events are published to; without it, none are published."""
    event_grid_key: str | None = field(default=None, repr=False)
    """KEDJA_EVENT_GRID_KEY: the topic's key, in a local stack. In Azure the app's identity is used."""
    client_id: str | None = None
    """AZURE_CLIENT_ID: the app's user-assigned identity, if any."""
    approvals: str = "none"
    """KEDJA_APPROVALS: `required` holds dropped code until a person approves it; `none` runs it at once."""
    auth: str | None = None
    """KEDJA_AUTH: how callers of the HTTP API authenticate: `easy-auth`, `keys`, `easy-auth,keys` or `local`."""
    event_origins: tuple[str, ...] = ()
    """KEDJA_EVENT_ORIGINS: comma-separated origins (of the WebHook handshake) that may send CloudEvents."""
    timing: Timing = field(factory=Timing)
    """KEDJA_TIMING: a JSON object of check intervals, leases, retries and deadlines; for tests and local stacks."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            InvalidSettings: a value is wrong; the message names the setting, its value and what is allowed.
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
        raise InvalidSettings(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    return value


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal()):
        raise InvalidSettings(f"{name} is {value!r}; it must be a whole number, at least 0.")
    return int(value)


def _days(environ: Mapping[str, str], name: str) -> float:
    value = environ.get(name) or "0"
    days = _number(value)
    if days is None or days > LONGEST_DAYS:
        raise InvalidSettings(
            f"{name} is {value!r}; it must be a number of days, at most {LONGEST_DAYS}; 0 means forever."
        )
    return days


def _seconds(environ: Mapping[str, str], name: str, default: float, *, zero: str | None = None) -> float:
    """Read a number of seconds. `zero` is what 0 means, or None if 0 is not allowed."""
    value = environ.get(name)
    if value is None:
        return default
    seconds = _number(value)
    if seconds is None or seconds > LONGEST_DAYS * 86_400 or (seconds == 0 and zero is None):
        least = f"; 0 means {zero}" if zero else " and more than 0"
        raise InvalidSettings(
            f"{name} is {value!r}; it must be a number of seconds, at most {LONGEST_DAYS} days{least}."
        )
    return seconds


def _number(value: str) -> float | None:
    """Return a finite number that is not negative, or None if the text is anything else."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
