"""Event Grid's access to storage: queues that receive events, and blobs for dead letters."""

import asyncio
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64EncodePolicy

from local_azure.event_grid.delivery_store import Delivery
from local_azure.event_grid.event_schema import Event
from local_azure.event_grid.event_target import DeliveryRefused

_UNAVAILABLE = 503
_FINAL = (400, 403, 413)  # statuses that Event Grid does not retry
_NEVER = -1
# Few: Event Grid has its own retry schedule.
_RETRIES: dict[str, Any] = {"retry_total": 1, "connection_timeout": 5, "read_timeout": 30}


class EventQueue:
    """A queue that receives one event per message: JSON, Base64-encoded, without expiry."""

    batch_size = 1

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue

    async def send(self, events: Sequence[Event], attempt: int) -> None:  # noqa: ARG002 - messages do not carry it
        """Put the event into the queue.

        Raises:
            DeliveryRefused: storage did not accept the message.
        """
        (event,) = events
        try:
            await asyncio.to_thread(self._queue.send_message, json.dumps(event), time_to_live=_NEVER)
        except AzureError as error:
            message = f"The queue {self._queue.queue_name!r} did not accept an event: {error}"
            raise DeliveryRefused(message, _status(error), is_final=_status(error) in _FINAL) from error


class EventStorage:
    """The storage account that receives events."""

    def __init__(self, connection_string: str) -> None:
        self._queues = QueueServiceClient.from_connection_string(connection_string, **_RETRIES)
        self._blobs = BlobServiceClient.from_connection_string(connection_string, **_RETRIES)

    def queue(self, name: str) -> EventQueue:
        """Return the queue of this name, whether or not it exists."""
        return EventQueue(self._queues.get_queue_client(name, message_encode_policy=TextBase64EncodePolicy()))

    async def put_dead_letter(self, container: str, delivery: Delivery, now: datetime) -> str:
        """Write an undeliverable event and the reason into a container; return the blob's name.

        Raises:
            DeliveryRefused: storage did not accept the blob.
        """
        hour = f"{now.year}/{now.month}/{now.day}/{now.hour}"  # as Event Grid writes it, without leading zeros
        name = f"{delivery.topic}/{delivery.subscription.upper()}/{hour}/{uuid.uuid4()}.json"
        client = self._blobs.get_blob_client(container, name)
        try:
            await asyncio.to_thread(client.upload_blob, json.dumps([dead_letter(delivery)]).encode())
        except AzureError as error:
            raise DeliveryRefused(
                f"The dead letter {container}/{name} cannot be written: {error}", _status(error)
            ) from error
        return name

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._queues.close)
        await asyncio.to_thread(self._blobs.close)


def dead_letter(delivery: Delivery) -> dict[str, object]:
    """Return the event with the reason of its failure; in CloudEvents, the added names are lower case.

    Format: https://learn.microsoft.com/azure/event-grid/delivery-and-retry#dead-letter-events.
    """
    reasons: dict[str, object] = {
        "deadLetterReason": delivery.reason,
        "deliveryAttempts": delivery.attempts,
        "lastDeliveryOutcome": delivery.outcome,
        "publishTime": _time(delivery.published),
        "lastDeliveryAttemptTime": None if delivery.attempted is None else _time(delivery.attempted),
    }
    if "specversion" in delivery.event:
        reasons = {name.lower(): value for name, value in reasons.items()}
    return {**delivery.event, **reasons}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _status(error: AzureError) -> int:
    return (error.status_code or _UNAVAILABLE) if isinstance(error, HttpResponseError) else _UNAVAILABLE
