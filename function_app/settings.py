"""Settings of the service, read from the environment in one place."""

from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from function_app.errors import InvalidSettings

STORAGE = "KedjaStorage"
"""Prefix of the settings of the account that users drop files into."""


@frozen(kw_only=True)
class Settings:
    """Every setting of the service. Times are in seconds."""

    quiet_period: float = 10.0
    """KEDJA_QUIET_PERIOD: how long a folder must not have changed before it is taken for complete."""
    max_wait: float = 1800.0
    """KEDJA_MAX_WAIT: after this time a drop is taken as it is, even where uploads still go on."""
    training_service: str = "function_app.azure_ml:AzureMLService.connect"
    """KEDJA_TRAINING_SERVICE: `module:function` that makes the training service from the environment."""
    compute: str = "gpu-cluster"
    """KEDJA_COMPUTE: where jobs run that name no compute."""
    environment: str = "azureml:kedja-chainer:1"
    """KEDJA_ENVIRONMENT: what jobs run in that name no environment. A fixed version, so that no call looks it up."""
    event_grid_endpoint: str | None = None
    """KEDJA_EVENT_GRID_ENDPOINT: the custom topic that announcements go to; none are published without it."""
    event_grid_key: str | None = field(default=None, repr=False)
    """KEDJA_EVENT_GRID_KEY: its key, on one machine. In Azure the identity is used."""
    client_id: str | None = None
    """AZURE_CLIENT_ID: the user-assigned identity, where the app has one."""
    auth: str | None = None
    """KEDJA_AUTH: how callers of the HTTP API are known: `easy-auth`, `keys`, both with a comma, or `local`."""
    event_origins: tuple[str, ...] = ()
    """KEDJA_EVENT_ORIGINS: who may send CloudEvents to /api/events, by the names in their handshakes, with commas."""

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
            event_grid_endpoint=environ.get("KEDJA_EVENT_GRID_ENDPOINT") or None,
            event_grid_key=environ.get("KEDJA_EVENT_GRID_KEY") or None,
            client_id=environ.get("AZURE_CLIENT_ID") or None,
            auth=environ.get("KEDJA_AUTH") or None,
            event_origins=_words(environ.get("KEDJA_EVENT_ORIGINS", "")),
        )


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    value = environ.get(name)
    if value is None:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise InvalidSettings(f"{name} is {value!r}: it is a number of seconds, at least 0.")
    return seconds
