"""Takes events for every subscription that wants them, and delivers them in the background."""

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

_TIMEOUT = 30.0  # seconds that a webhook has to answer
_AFTER_A_FAULT = 10.0  # seconds
_LAST_WORDS = 5.0  # seconds that requests under way get at the end

_log = logging.getLogger(__name__)


class EventDelivery:
    """What is not delivered when the process ends is in the store, and goes on with the next process.

    `transport` carries the requests to webhooks; None is the network.
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
        self._ways: dict[tuple[str, str], SubscriptionDelivery] = {}
        self._news = asyncio.Event()
        self._at_work: dict[tuple[str, str], asyncio.Task[None]] = {}

    def accept(self, topic: str, events: Sequence[Event]) -> None:
        """Keep the events for each subscription of the topic that wants them; on return they are safe."""
        now = self._clock.now().timestamp()
        deliveries: list[Delivery] = []
        for name, subscription in self._book.topic(topic).event_subscriptions.items():
            for event in filter(subscription.filter.matches, events):
                waits = self._faults.waits(topic, name, type_of(event))
                if not waits:
                    self._store.count(topic, name, "dropped")
                deliveries += (
                    Delivery(topic=topic, subscription=name, event=event, published=now, due=now + wait)
                    for wait in waits
                )
        self._store.add(deliveries)
        self._news.set()

    async def subscribe(self, topic: str, name: str, subscription: Subscription) -> None:
        """Add or replace a subscription, once its endpoint has said that it wants events.

        Raises HandshakeFailed, and as SubscriptionBook.add.
        """
        self._book.check_addable(topic, name, subscription)
        way = self._way_of(topic, name, subscription)
        if isinstance(way.target, EventWebhook):
            await way.target.shake_hands()
        self._book.add(topic, name, subscription)
        self._ways[topic, name] = way
        self._news.set()

    def unsubscribe(self, topic: str, name: str) -> None:
        """Take a subscription out, and what is pending for it. Raises as SubscriptionBook.remove."""
        self._book.remove(topic, name)
        self._ways.pop((topic, name), None)
        self._store.forget(topic, name)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._news.clear()
            due = self._store.next_due()
            for key in due.keys() - self._at_work.keys():
                if due[key] <= self._clock.now().timestamp():
                    self._at_work[key] = asyncio.create_task(self._work(*key))
            await self._wait_until(min((due[key] for key in due.keys() - self._at_work.keys()), default=None))

    async def close(self) -> None:
        """Let the requests under way end, within a few seconds, and close the connections."""
        tasks = list(self._at_work.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def deliver_due(self, topic: str, name: str) -> None:
        """Make every delivery of a subscription that is due now, once."""
        try:
            subscription = self._book.subscription(topic, name)
        except UnknownSubscription:
            _log.warning("%s/%s is no more: what was pending for it is dropped.", topic, name)
            self._store.forget(topic, name)
            return
        if (topic, name) not in self._ways:
            self._ways[topic, name] = self._way_of(topic, name, subscription)
        await self._ways[topic, name].deliver_due()

    async def _work(self, topic: str, name: str) -> None:
        try:
            await self.deliver_due(topic, name)
        except Exception:  # noqa: BLE001 - it is logged, with its traceback
            # The edge of this subscription's work: whatever is wrong with it must not stop the others.
            _log.exception("Deliveries to %s/%s rest for %g s.", topic, name, _AFTER_A_FAULT)
            await self._clock.sleep(_AFTER_A_FAULT)
        finally:
            del self._at_work[topic, name]
            self._news.set()

    async def _wait_until(self, due: float | None) -> None:
        """Wait for news, or until something is due."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._news.wait())]
        if due is not None:
            waits.append(asyncio.create_task(self._clock.sleep(max(0.0, due - self._clock.now().timestamp()))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _way_of(self, topic: str, name: str, subscription: Subscription) -> SubscriptionDelivery:
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
    """Return what a topic would be called in Azure."""
    subscription = "00000000-0000-0000-0000-000000000000"
    return f"/subscriptions/{subscription}/resourceGroups/local/providers/Microsoft.EventGrid/topics/{topic}"
