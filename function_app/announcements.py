"""Announcements: the CloudEvents that tell other systems what happened. `docs/events.md` has their schemas."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import field, frozen
from azure.core.exceptions import AzureError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from function_app.documents import Document
from function_app.errors import KedjaError


class Announced(enum.StrEnum):
    """Types of the published events."""

    JOB_SUBMITTED = "Kedja.JobSubmitted"
    DROP_REJECTED = "Kedja.DropRejected"
    JOB_COMPLETED = "Kedja.JobCompleted"
    JOB_FAILED = "Kedja.JobFailed"
    JOB_CANCELED = "Kedja.JobCanceled"
    MODEL_REGISTERED = "Kedja.ModelRegistered"
    MODEL_NOT_REGISTERED = "Kedja.ModelNotRegistered"


class Announcement(Document):
    """An event that is to be published. The same happening always has the same id, so a repeat can be told."""

    id: str
    type: Announced
    source: str
    subject: str
    time: datetime
    data: dict[str, Any]


class PublishingFailed(KedjaError):
    """The events were not accepted; they stay in their receipt's outbox."""


class Publisher(Protocol):
    """Sends announcements."""

    def publish(self, announcements: Sequence[Announcement]) -> None:
        """Send them all. Raise PublishingFailed where they were not accepted."""


@frozen
class EventGridPublisher:
    """Publishes CloudEvents to a custom topic of Event Grid.

    `account_url` begins every event's source, so that two deployments that were given the same files do not tell the
    same source and id.
    """

    client: EventGridPublisherClient = field(repr=False)
    account_url: str

    def publish(self, announcements: Sequence[Announcement]) -> None:
        events = [
            CloudEvent(
                id=one.id,
                type=one.type.value,
                source=f"{self.account_url}{one.source}",
                subject=one.subject,
                time=one.time,
                data=one.data,
            )
            for one in announcements
        ]
        try:
            self.client.send(events)
        except AzureError as error:
            raise PublishingFailed(f"Event Grid did not accept {len(events)} events: {error.message}") from error
