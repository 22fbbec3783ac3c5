"""Connections: the storage account, the identity, the training service and the topic that the settings name."""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict, cast
from urllib.parse import urlsplit

from azure.core.credentials import AzureKeyCredential, TokenCredential
from azure.eventgrid import EventGridPublisherClient
from azure.storage.blob import BlobServiceClient

from function_app.azure.event_grid import EventGridPublisher
from function_app.azure.storage import StorageAccount
from function_app.domain.cloud_events import OutgoingEvent, Publisher
from function_app.errors import InvalidSettings
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import TrainingService
from function_app.settings import STORAGE, Settings


class Ports(TypedDict):
    """What the service reaches the world by."""

    blobs: Blobs
    queues: Queues
    training: TrainingService
    publisher: Publisher
    account_url: str
    clock: NotRequired[Clock]


class NullPublisher:
    """Discards events, for a service without a topic. Receipts hold the same facts."""

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        """Discard the events."""


def connect(settings: Settings, environ: Mapping[str, str]) -> Ports:
    """Return what the service reaches the world by: the resources that settings and environment name.

    Raises:
        InvalidSettings: a setting is missing or wrong; the message names it.
    """
    identity = None if environ.get(STORAGE) else credential(settings)
    account = StorageAccount.connect(environ, identity, prefix=STORAGE, timing=settings.timing)
    account_url = account.blobs.client.url.rstrip("/")
    return {
        "blobs": account.blobs,
        "queues": account.queues,
        "training": training(settings, environ),
        "publisher": publisher(settings, identity, account_url),
        "account_url": account_url,
    }


def credential(settings: Settings) -> TokenCredential:
    """Return the app's identity, or on a developer's machine the signed-in user's."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 - slow, and not local

    if settings.client_id:
        return ManagedIdentityCredential(client_id=settings.client_id)
    return DefaultAzureCredential()


def training(settings: Settings, environ: Mapping[str, str]) -> TrainingService:
    """Return the training service that the settings name.

    Raises:
        InvalidSettings: KEDJA_TRAINING_SERVICE does not name a function, or the service's own settings are not valid.
    """
    try:
        connect = cast(
            "Callable[[Mapping[str, str]], TrainingService]", pkgutil.resolve_name(settings.training_service)
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidSettings(
            f"KEDJA_TRAINING_SERVICE is {settings.training_service!r}, which is not the name of a function: {error}."
        ) from error
    return connect(environ)


def publisher(settings: Settings, identity: TokenCredential | None, account_url: str) -> Publisher:
    """Return the publisher of events: to the topic if one is configured, else to nowhere."""
    if settings.event_grid_endpoint is None:
        return NullPublisher()
    key = AzureKeyCredential(settings.event_grid_key) if settings.event_grid_key else None
    return EventGridPublisher(
        EventGridPublisherClient(settings.event_grid_endpoint, key or identity or credential(settings)), account_url
    )


def storage_origin(environ: Mapping[str, str]) -> str | None:
    """Return the origin of the account's blobs, or None if no valid setting names it: the API reports what is wrong."""
    address = environ.get(f"{STORAGE}__blobServiceUri", "")
    if connection := environ.get(STORAGE):
        try:
            with BlobServiceClient.from_connection_string(connection) as client:
                address = client.url
        except ValueError:
            return None
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else None
