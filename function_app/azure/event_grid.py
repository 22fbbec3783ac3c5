"""The publisher: sends CloudEvents to a custom topic of Event Grid."""

import json
import logging
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from attrs import field, frozen
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from function_app.domain.cloud_events import Announcement, AnnouncementsRefused, PublishingFailed

logger = logging.getLogger(__name__)

LARGEST_BATCH = 900_000
"""Bytes of events in one request. Event Grid takes 1 MB, of one event as of all
(https://learn.microsoft.com/azure/event-grid/quotas-limits)."""
_ENVELOPE = 500
"""Bytes of an event beside what is counted."""
_FOR_GOOD = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


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
