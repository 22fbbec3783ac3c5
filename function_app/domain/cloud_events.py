"""Announcements: the CloudEvents that tell other systems what happened. `docs/events.md` has their schemas."""

import enum
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

from attrs import field, frozen
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from function_app.domain.document import Document
from function_app.errors import KedjaError

logger = logging.getLogger(__name__)

LARGEST_BATCH = 900_000
"""Bytes of events in one request. Event Grid takes 1 MB, of one event as of all
(https://learn.microsoft.com/azure/event-grid/quotas-limits)."""
_ENVELOPE = 500
"""Bytes of an event beside what is counted."""
_FOR_GOOD = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


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


class AnnouncementsRefused(KedjaError):
    """The topic accepts some events not as they are (`refused`); all others were accepted."""

    def __init__(self, message: str, refused: Sequence[Announcement]) -> None:
        super().__init__(message)
        self.refused = refused


class Publisher(Protocol):
    """Sends announcements."""

    def publish(self, announcements: Sequence[Announcement]) -> None:
        """Send them all.

        Raises:
            PublishingFailed: where they were not accepted, or not all.
            AnnouncementsRefused: where all were accepted but those that the topic will not take as they are.
        """


@frozen
class EventGridPublisher:
    """Publishes CloudEvents to a custom topic of Event Grid.

    `account_url` begins every event's source, so that two deployments that were given the same files do not tell the
    same source and id.
    """

    client: EventGridPublisherClient = field(repr=False)
    account_url: str

    def publish(self, announcements: Sequence[Announcement]) -> None:
        refused = [one for batch in _batches(announcements) for one in self._refused(batch)]
        if refused:
            raise AnnouncementsRefused(
                f"Event Grid refuses {', '.join(one.id for one in refused)} as they are.", refused
            )

    def _refused(self, batch: Sequence[Announcement]) -> Sequence[Announcement]:
        """Send a batch, each event by itself where all together are refused; return those that are refused alone."""
        try:
            self.client.send([self._event(one) for one in batch])
        except AzureError as error:
            if not isinstance(error, HttpResponseError) or error.status_code not in _FOR_GOOD:
                raise PublishingFailed(f"Event Grid did not accept {len(batch)} events: {error.message}") from error
            if len(batch) > 1:
                return [one for each in batch for one in self._refused([each])]
            logger.exception("Event Grid refuses the event %s as it is.", batch[0].id)
            return batch
        return []

    def _event(self, one: Announcement) -> CloudEvent[dict[str, Any]]:
        return CloudEvent(
            id=one.id,
            type=one.type.value,
            source=f"{self.account_url}{one.source}",
            subject=one.subject,
            time=one.time,
            data=one.data,
        )


def _batches(announcements: Sequence[Announcement]) -> Iterator[list[Announcement]]:
    """Yield the events in their order, as many at once as a request may hold; one that is too long comes alone."""
    batch: list[Announcement] = []
    size = 0
    for one in announcements:
        length = len(json.dumps(one.model_dump(mode="json"))) + _ENVELOPE
        if batch and size + length > LARGEST_BATCH:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch
