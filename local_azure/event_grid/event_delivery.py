"""Accepts events for every subscription that matches, and delivers them in the background."""

import asyncio
import logging
from collections.abc import Sequence

import httpx

from local_azure.clock import Clock
from local_azure.event_grid.delivery_store import Delivery, DeliveryStore
from local_azure.event_grid.event_faults import FaultInjector
from local_azure.event_grid.event_schema import Event, type_of
from local_azure.event_grid.event_storage import EventStorage
from local_azure.event_grid.event_target import EventTarget
from local_azure.event_grid.event_webhook import EventWebhook
from local_azure.event_grid.subscription_delivery import SubscriptionDelivery
from local_azure.event_grid.subscriptions import (
    StorageQueue,
    Subscription,
    SubscriptionBook,
    UnknownSubscription,
    Webhook,
)

_TIMEOUT = 30.0  # seconds for a webhook to answer
_ERROR_PAUSE = 10.0  # seconds before a subscription continues after an unexpected error
_CLOSE_TIMEOUT = 5.0  # seconds for requests in progress at shutdown

_log = logging.getLogger(__name__)


class EventDelivery:
    """Delivers events. Undelivered events stay in the store, and the next process continues with them.

    `transport` carries the requests to webhooks; None means the network.
    """

    def __init__(
        self,
        *,
        book: SubscriptionBook,
        store: DeliveryStore,
        storage: EventStorage,
        faults: FaultInjector,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._book = book
        self._store = store
        self._storage = storage
        self._faults = faults
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, transport=transport)
        self._deliveries: dict[tuple[str, str], SubscriptionDelivery] = {}
        self._wake_up = asyncio.Event()
        self._workers: dict[tuple[str, str], asyncio.Task[None]] = {}

    def accept(self, topic: str, events: Sequence[Event]) -> None:
        """Store the events for each matching subscription of the topic; on return they are durable.

        Raises:
            UnknownSubscription: there is no such topic.
        """
        now = self._clock.now().timestamp()
        deliveries: list[Delivery] = []
        for name, subscription in self._book.topic(topic).event_subscriptions.items():
            for event in filter(subscription.filter.matches, events):
                delays = self._faults.delivery_delays(topic, name, type_of(event))
                if not delays:
                    self._store.count(topic, name, "dropped")
                deliveries += (
                    Delivery(topic=topic, subscription=name, event=event, published=now, due=now + delay)
                    for delay in delays
                )
        self._store.add(deliveries)
        self._wake_up.set()

    async def subscribe(self, topic: str, name: str, subscription: Subscription) -> None:
        """Add or replace a subscription, after its endpoint has passed the handshake.

        Raises:
            HandshakeFailed: the endpoint does not accept events.
            InvalidSubscriptions: the subscription is defined in the file, or does not fit the topic.
            UnknownSubscription: there is no such topic.
        """
        self._book.check_addable(topic, name, subscription)
        delivery = self._delivery_for(topic, name, subscription)
        if isinstance(delivery.target, EventWebhook):
            await delivery.target.validate_endpoint()
        self._book.add(topic, name, subscription)
        self._deliveries[topic, name] = delivery
        self._wake_up.set()

    def unsubscribe(self, topic: str, name: str) -> None:
        """Remove a subscription and its pending deliveries.

        Raises:
            InvalidSubscriptions: the subscription is defined in the file.
            UnknownSubscription: there is no such subscription.
        """
        self._book.remove(topic, name)
        self._deliveries.pop((topic, name), None)
        self._store.remove_subscription(topic, name)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._wake_up.clear()
            due = self._store.next_due()
            for key in due.keys() - self._workers.keys():
                if due[key] <= self._clock.now().timestamp():
                    self._workers[key] = asyncio.create_task(self._work(*key))
            await self._wait_until(min((due[key] for key in due.keys() - self._workers.keys()), default=None))

    async def close(self) -> None:
        """Wait a few seconds for requests in progress, then close the connections."""
        tasks = list(self._workers.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_TIMEOUT)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def deliver_due(self, topic: str, name: str) -> None:
        """Attempt every delivery of a subscription that is due now, once."""
        try:
            subscription = self._book.subscription(topic, name)
        except UnknownSubscription:
            _log.warning("%s/%s no longer exists: its pending deliveries are dropped.", topic, name)
            self._store.remove_subscription(topic, name)
            return
        if (topic, name) not in self._deliveries:
            self._deliveries[topic, name] = self._delivery_for(topic, name, subscription)
        await self._deliveries[topic, name].deliver_due()

    async def _work(self, topic: str, name: str) -> None:
        try:
            await self.deliver_due(topic, name)
        except Exception:  # noqa: BLE001 - logged, with its traceback
            # An error in one subscription must not stop the others.
            _log.exception("Deliveries to %s/%s failed; they continue in %g s.", topic, name, _ERROR_PAUSE)
            await self._clock.sleep(_ERROR_PAUSE)
        finally:
            del self._workers[topic, name]
            self._wake_up.set()

    async def _wait_until(self, due: float | None) -> None:
        """Wait until `due`, or until an event or a subscription was added."""
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(self._wake_up.wait())]
        if due is not None:
            waiting.append(asyncio.create_task(self._clock.sleep(max(0.0, due - self._clock.now().timestamp()))))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _delivery_for(self, topic: str, name: str, subscription: Subscription) -> SubscriptionDelivery:
        schema = self._book.topic(topic).schema_for(subscription)
        target: EventTarget
        match subscription.destination:
            case StorageQueue(properties=queue):
                target = self._storage.queue(queue.queue_name)
            case Webhook(properties=webhook):
                target = EventWebhook(
                    self._http,
                    str(webhook.endpoint_url),
                    schema=schema,
                    batch_size=webhook.max_events_per_batch,
                    name=name,
                    topic=resource_id(topic),
                    clock=self._clock,
                )
        return SubscriptionDelivery(
            topic=topic,
            name=name,
            subscription=subscription,
            schema=schema,
            target=target,
            store=self._store,
            storage=self._storage,
            clock=self._clock,
        )


def resource_id(topic: str) -> str:
    """Return the resource id that a topic would have in Azure."""
    subscription = "00000000-0000-0000-0000-000000000000"
    return f"/subscriptions/{subscription}/resourceGroups/local/providers/Microsoft.EventGrid/topics/{topic}"
