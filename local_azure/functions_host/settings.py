"""The settings of the Functions host: host.json, local.settings.json, and connections by name.

Formats: https://learn.microsoft.com/azure/azure-functions/functions-host-json and
https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file.
"""

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from azure.identity import DefaultAzureCredential
from azure.storage.queue import LinearRetry, QueueClient

from local_azure.errors import LocalAzureError
from local_azure.storage.azurite import AzuriteAccount

_TIME_SPAN: Final = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+)(?::(?P<seconds>\d+(?:\.\d+)?))?")

_EMULATOR: Final = AzuriteAccount(blob_port=10000, queue_port=10001, table_port=10002)
"""The account that UseDevelopmentStorage=true means."""


class InvalidHostSettings(LocalAzureError):
    """host.json, local.settings.json or an app setting is missing or invalid."""


@frozen(kw_only=True)
class QueueOptions:
    """`extensions.queues` of host.json, with the real host's defaults. Times are in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    visibility_timeout: float = 0
    max_dequeue_count: int = 5
    max_polling_interval: float = 60
    base64: bool = True


@frozen(kw_only=True)
class HostSettings:
    """The settings in host.json that this host uses."""

    route_prefix: str = "api"
    queues: QueueOptions = QueueOptions()

    @classmethod
    def read(cls, root: Path) -> "HostSettings":
        """Read host.json in the folder `root`.

        Raises:
            InvalidHostSettings: it is missing, not a JSON object, or has an invalid value.
        """
        file = root / "host.json"
        document = _read_object(file)
        extensions = document.get("extensions", {})
        try:
            return cls(
                route_prefix=str(extensions.get("http", {}).get("routePrefix", "api")).strip("/"),
                queues=_queue_options(extensions.get("queues", {})),
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidHostSettings(f"{file}: extensions has an invalid value: {error}") from error


def load_local_settings(file: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the `Values` of a local.settings.json to the environment; variables that are already set take precedence.

    Raises:
        InvalidHostSettings: the file is missing or not a JSON object, or a value is not a string.
    """
    values = _read_object(file).get("Values", {})
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise InvalidHostSettings(f'{file}: "Values" must be an object whose values are all strings.')
    for name, value in values.items():
        environment.setdefault(name, value)


def resolve(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace each `%NAME%` in the value of a binding with the app setting of that name.

    Raises:
        InvalidHostSettings: there is no such setting.
    """

    def setting(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise InvalidHostSettings(f"A binding refers to {text!r}, but there is no app setting {match[1]}.")
        return environment[match[1]]

    return re.sub(r"%([^%]+)%", setting, text)


def is_disabled(function: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the app setting `AzureWebJobs.<function>.Disabled` disables a function: it then has no listener.

    Source: https://learn.microsoft.com/azure/azure-functions/disable-function.
    """
    return environment.get(f"AzureWebJobs.{function}.Disabled", "").lower() in ("true", "1")


def queue_client(queue: str, connection: str, environment: Mapping[str, str] = os.environ) -> QueueClient:
    """Return a client for a queue in the account that the connection names; it does not decode messages.

    The setting `AzureWebJobs<connection>` or `<connection>` is a connection string (or UseDevelopmentStorage=true).
    Otherwise `<connection>__queueServiceUri` is the URL of the queue service, used with the machine's Azure identity,
    or with the published key if the account is the emulator's. An empty name means AzureWebJobsStorage.

    Raises:
        InvalidHostSettings: none of these settings exists, or the connection string is invalid.
    """
    name = connection or "AzureWebJobsStorage"
    # The host polls again anyway: long retries would only delay its shutdown.
    transport: dict[str, Any] = {
        "retry_policy": LinearRetry(backoff=1, retry_total=2, random_jitter_range=0),
        "connection_timeout": 5,
        "read_timeout": 30,
    }
    text = environment.get(f"AzureWebJobs{name}") or environment.get(name)
    if text:
        if text.strip().rstrip(";").lower() == "usedevelopmentstorage=true":
            text = _EMULATOR.connection_string
        try:
            return QueueClient.from_connection_string(text, queue, **transport)
        except ValueError:
            # Neither the text nor the client's error is shown: they may contain the key.
            raise InvalidHostSettings(f"The app setting {name} is not a storage connection string.") from None
    address = environment.get(f"{name}__queueServiceUri")
    if not address:
        raise InvalidHostSettings(
            f"Queue {queue} needs the connection {name}: set {name} to a connection string, or {name}__queueServiceUri."
        )
    if f"/{_EMULATOR.name}" in address:
        key = {"account_name": _EMULATOR.name, "account_key": _EMULATOR.key}
        return QueueClient(address, queue, credential=key, **transport)
    return QueueClient(address, queue, credential=DefaultAzureCredential(), **transport)


def _queue_options(section: Mapping[str, Any]) -> QueueOptions:
    default = QueueOptions()
    batch_size = int(section.get("batchSize", default.batch_size))
    encoding = str(section.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise ValueError(f"queues.messageEncoding {encoding!r} is neither base64 nor none")
    if not 1 <= batch_size <= 32:  # noqa: PLR2004 - the queue service's own limits
        raise ValueError(f"queues.batchSize {batch_size} is not from 1 to 32")
    return QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=int(section.get("newBatchThreshold", batch_size // 2)),
        visibility_timeout=_seconds(section.get("visibilityTimeout", "00:00:00")),
        max_dequeue_count=int(section.get("maxDequeueCount", default.max_dequeue_count)),
        max_polling_interval=_seconds(section.get("maxPollingInterval", "00:01:00")),
        base64=encoding == "base64",
    )


def _seconds(text: object) -> float:
    match = _TIME_SPAN.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a time span hh:mm:ss")
    parts = {unit: float(value) for unit, value in match.groupdict(default="0").items()}
    return timedelta(**parts).total_seconds()


def _read_object(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidHostSettings(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidHostSettings(f"{file} is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidHostSettings(f"{file} must contain one JSON object.")
    return document
