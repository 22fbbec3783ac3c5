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

from function_app.domain.cloud_events import EventsRejected, OutgoingEvent, PublishingFailed

logger = logging.getLogger(__name__)

LARGEST_BATCH = 900_000
"""Max bytes of events in one request. Event Grid accepts 1 MB, both for one event and for a whole request
(https://learn.microsoft.com/azure/event-grid/quotas-limits)."""
_ENVELOPE = 500
"""Bytes that an event's envelope adds to what is counted."""
_FOR_GOOD = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


@frozen
class EventGridPublisher:
    """Publishes CloudEvents to a custom topic of Event Grid.

    `account_url` begins every event's source, so that two deployments with the same files publish different sources.
    """

    client: EventGridPublisherClient = field(repr=False)
    account_url: str

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        """Publish the events in batches; an event that is refused does not keep the others from being published.

        Raises:
            PublishingFailed: Event Grid did not accept them, or not all.
            EventsRejected: Event Grid accepted all except those that it refuses permanently.
        """
        refused = [one for batch in _batches(announcements) for one in self._refused(batch)]
        if refused:
            raise EventsRejected(f"Event Grid refuses these events: {', '.join(one.id for one in refused)}.", refused)

    def _refused(self, batch: Sequence[OutgoingEvent]) -> Sequence[OutgoingEvent]:
        """Send a batch; if it is refused, send each event by itself. Return the events that are refused alone."""
        try:
            self.client.send([self._event(one) for one in batch])
        except AzureError as error:
            if not isinstance(error, HttpResponseError) or error.status_code not in _FOR_GOOD:
                raise PublishingFailed(f"Event Grid did not accept {len(batch)} events: {error.message}") from error
            if len(batch) > 1:
                return [one for each in batch for one in self._refused([each])]
            logger.exception("Event Grid refuses the event %s.", batch[0].id)
            return batch
        return []

    def _event(self, one: OutgoingEvent) -> CloudEvent[dict[str, Any]]:
        return CloudEvent(
            id=one.id,
            type=one.type.value,
            source=f"{self.account_url}{one.source}",
            subject=one.subject,
            time=one.time,
            data=one.data,
        )


def _batches(announcements: Sequence[OutgoingEvent]) -> Iterator[list[OutgoingEvent]]:
    """Yield the events in order, in batches of the size of a request; an event that is too long comes alone."""
    batch: list[OutgoingEvent] = []
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
