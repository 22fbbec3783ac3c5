"""Delivers one subscription's events at least once: immediately, on Event Grid's schedule, then as dead letters.

Schedule and codes: https://learn.microsoft.com/azure/event-grid/delivery-and-retry. Differences: no random part in the
schedule, no delay of five minutes before a dead letter, and no delayed delivery to an endpoint that fails often.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import batched

import attrs
from attrs import frozen

from local_azure.clock import Clock
from local_azure.event_grid.delivery_store import Delivery, DeliveryStore
from local_azure.event_grid.event_schema import EventSchema, in_schema
from local_azure.event_grid.event_storage import EventStorage
from local_azure.event_grid.event_target import DeliveryRefused, EventTarget
from local_azure.event_grid.subscriptions import Subscription

_MINUTE, _HOUR = 60.0, 3600.0
RETRY_SCHEDULE = (10.0, 30.0, _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR)
"""Seconds until the retry after each failed attempt; after these, 12 hours."""

_LAST_RETRY_DELAY = 12 * _HOUR
_DEAD_LETTER_RETRY_DELAY = _MINUTE
_DEAD_LETTER_TIME_LIMIT = 4 * _HOUR
_PAGE_SIZE = 256  # deliveries read from the store at once
_MAX_CONCURRENT_REQUESTS = 16  # per endpoint

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class SubscriptionDelivery:
    """Delivers what the store holds for the subscription `topic`/`name`."""

    topic: str
    name: str
    subscription: Subscription
    schema: EventSchema
    target: EventTarget
    store: DeliveryStore
    storage: EventStorage
    clock: Clock

    async def deliver_due(self) -> None:
        """Attempt every delivery that is due now, once."""
        while deliveries := self.store.due(self.topic, self.name, self._now(), _PAGE_SIZE):
            now = self._now()
            given_up = [one for one in deliveries if one.reason]
            expired = [one for one in deliveries if not one.reason and now >= one.published + self._time_to_live]
            alive = [one for one in deliveries if not one.reason and now < one.published + self._time_to_live]
            self._give_up(expired, "TimeToLiveExceeded")
            limit = asyncio.Semaphore(_MAX_CONCURRENT_REQUESTS)
            batches: Iterable[Sequence[Delivery]] = batched(alive, self.target.batch_size, strict=False)
            async with asyncio.TaskGroup() as group:
                for batch in batches:
                    group.create_task(self._attempt(batch, limit))
                for delivery in given_up:
                    group.create_task(self._write_dead_letter(delivery, limit))

    @property
    def _time_to_live(self) -> float:
        return self.subscription.retry_policy.event_time_to_live_in_minutes * _MINUTE

    def _now(self) -> float:
        return self.clock.now().timestamp()

    async def _attempt(self, batch: Sequence[Delivery], limit: asyncio.Semaphore) -> None:
        events = [in_schema(one.event, self.schema) for one in batch]
        try:
            async with limit:
                await self.target.send(events, max(one.attempts for one in batch))
        except DeliveryRefused as refusal:
            _log.warning("%s/%s, %d events: %s", self.topic, self.name, len(batch), refusal)
            self._failed(batch, refusal)
        else:
            self.store.finish(batch, "delivered")

    def _failed(self, batch: Sequence[Delivery], refusal: DeliveryRefused) -> None:
        now = self._now()
        max_attempts = self.subscription.retry_policy.max_delivery_attempts
        attempted = [
            attrs.evolve(one, attempts=one.attempts + 1, attempted=now, outcome=refusal.outcome) for one in batch
        ]
        self.store.count(self.topic, self.name, "failed", len(attempted))
        if refusal.is_final:
            self._give_up(attempted, f"UndeliverableDueToHttp{refusal.outcome}")
            return
        self._give_up([one for one in attempted if one.attempts >= max_attempts], "MaxDeliveryAttemptsExceeded")
        self.store.postpone(
            attrs.evolve(one, due=min(now + _retry_delay(one.attempts), one.published + self._time_to_live))
            for one in attempted
            if one.attempts < max_attempts
        )

    def _give_up(self, deliveries: Sequence[Delivery], reason: str) -> None:
        now = self._now()
        given_up = [attrs.evolve(one, reason=reason, given_up=now, due=now) for one in deliveries]
        if self.subscription.dead_letter_destination is None:
            self._drop(given_up)
        else:
            self.store.postpone(given_up)

    async def _write_dead_letter(self, delivery: Delivery, limit: asyncio.Semaphore) -> None:
        destination = self.subscription.dead_letter_destination
        if destination is None:  # removed after the event was given up
            self._drop([delivery])
            return
        now = self.clock.now()
        try:
            async with limit:
                await self.storage.put_dead_letter(destination.properties.blob_container_name, delivery, now)
        except DeliveryRefused as refusal:
            _log.warning("%s", refusal)
            if now.timestamp() >= (delivery.given_up or 0) + _DEAD_LETTER_TIME_LIMIT:
                self._drop([delivery])
            else:
                self.store.postpone([attrs.evolve(delivery, due=now.timestamp() + _DEAD_LETTER_RETRY_DELAY)])
        else:
            self.store.finish([delivery], "dead_lettered")

    def _drop(self, deliveries: Sequence[Delivery]) -> None:
        for one in deliveries:
            _log.error("The event %s for %s/%s is dropped: %s", one.event["id"], self.topic, self.name, one.reason)
        self.store.finish(deliveries, "dropped")


def _retry_delay(attempts: int) -> float:
    return RETRY_SCHEDULE[attempts - 1] if attempts <= len(RETRY_SCHEDULE) else _LAST_RETRY_DELAY
