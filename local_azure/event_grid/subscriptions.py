"""The topics of the local Event Grid and who subscribes to them.

They stand in a JSON file, in the shape of Azure's templates
(https://learn.microsoft.com/azure/templates/microsoft.eventgrid/eventsubscriptions):

    {"topics": {"storage": {"inputSchema": "EventGridSchema", "eventSubscriptions": {"data": {
        "destination": {"endpointType": "StorageQueue", "properties": {"queueName": "blob-events"}},
        "filter": {"includedEventTypes": ["Microsoft.Storage.BlobCreated"], "subjectBeginsWith": "/blobServices/…"},
        "deadLetterDestination": {"endpointType": "StorageBlob", "properties": {"blobContainerName": "dead-letter"}}
    }}}}}

Subscriptions that are made while the server runs are kept in a second file, of the same shape, beside its state.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from local_azure.errors import LocalAzureError
from local_azure.event_grid.event_faults import FaultPlan
from local_azure.event_grid.event_filter import EventFilter
from local_azure.event_grid.event_schema import EventSchema, problems_of


class InvalidSubscriptions(LocalAzureError):
    """The subscriptions file, or one subscription, is wrong."""


class UnknownSubscription(LocalAzureError):
    """No topic or subscription has this name."""


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class QueueProperties(_Model):
    """A queue of the local storage account. `resource_id` is Azure's to know, and not looked at."""

    queue_name: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9])+$", max_length=63)
    resource_id: str | None = None


class StorageQueue(_Model):
    """One event a message: JSON in Base64 that never expires."""

    endpoint_type: Literal["StorageQueue"]
    properties: QueueProperties


class WebhookProperties(_Model):
    """Where to POST, and how many events at once; one is an array of one in the Event Grid schema."""

    endpoint_url: HttpUrl
    max_events_per_batch: int = Field(default=1, ge=1, le=5000)


class Webhook(_Model):
    """An endpoint that has shown, by a handshake, that it wants events."""

    endpoint_type: Literal["WebHook"]
    properties: WebhookProperties


class RetryPolicy(_Model):
    """When to give a delivery up, whichever comes first."""

    max_delivery_attempts: int = Field(default=30, ge=1, le=30)
    event_time_to_live_in_minutes: int = Field(default=1440, ge=1, le=1440)


class DeadLetterProperties(_Model):
    """A container of the local storage account. `resource_id` is Azure's to know, and not looked at."""

    blob_container_name: str
    resource_id: str | None = None


class DeadLetterDestination(_Model):
    """Where undeliverable events are kept."""

    endpoint_type: Literal["StorageBlob"] = "StorageBlob"
    properties: DeadLetterProperties


class Subscription(_Model):
    """Which events of a topic go where, in which schema (None: the topic's own)."""

    destination: Annotated[StorageQueue | Webhook, Field(discriminator="endpoint_type")]
    filter: EventFilter = EventFilter()
    event_delivery_schema: EventSchema | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    dead_letter_destination: DeadLetterDestination | None = None


class Topic(_Model):
    """One address to publish to."""

    input_schema: EventSchema = EventSchema.EVENT_GRID
    event_subscriptions: dict[str, Subscription] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, subscription in self.event_subscriptions.items():
            wanted = subscription.event_delivery_schema
            if self.input_schema is EventSchema.CLOUD_EVENTS and wanted is EventSchema.EVENT_GRID:
                raise ValueError(f"subscription {name!r}: a topic of CloudEvents delivers CloudEvents only")
        return self

    def schema_for(self, subscription: Subscription) -> EventSchema:
        """Return what the subscription is sent."""
        return subscription.event_delivery_schema or self.input_schema


class SubscriptionsFile(_Model):
    """The whole file. `faults` are those that are in force from the start."""

    topics: dict[str, Topic]
    faults: FaultPlan = FaultPlan()


def read_file(path: Path) -> SubscriptionsFile:
    """Read the file. Raises InvalidSubscriptions, naming each wrong value and its place."""
    try:
        return SubscriptionsFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidSubscriptions(f"The subscriptions file {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise InvalidSubscriptions(
            f"The subscriptions file {path} is wrong: {'; '.join(problems_of(error))}."
        ) from error


class SubscriptionBook:
    """All topics: those of the file, which is never written, and what was added in `added`, a file that is."""

    def __init__(self, topics: Mapping[str, Topic], added: Path) -> None:
        self._topics = dict(topics)
        self._path = added
        stored = read_file(added).topics if added.exists() else {}
        self._added = {name: dict(stored[name].event_subscriptions) if name in stored else {} for name in topics}

    def topic(self, name: str) -> Topic:
        """Return the topic with all its subscriptions. Raises UnknownSubscription."""
        if name not in self._topics:
            raise UnknownSubscription(f"There is no topic {name!r}; the topics are: {', '.join(self._topics)}.")
        topic = self._topics[name]
        return topic.model_copy(update={"event_subscriptions": self._added[name] | topic.event_subscriptions})

    def subscription(self, topic: str, name: str) -> Subscription:
        """Return the subscription. Raises UnknownSubscription."""
        subscriptions = self.topic(topic).event_subscriptions
        if name not in subscriptions:
            raise UnknownSubscription(f"The topic {topic!r} has no subscription {name!r}.")
        return subscriptions[name]

    def topics(self) -> Iterable[str]:
        """Return the names of the topics."""
        return self._topics.keys()

    def check_addable(self, topic: str, name: str, subscription: Subscription) -> None:
        """Raise InvalidSubscriptions where the subscription is the file's, or cannot be the topic's."""
        known = self.topic(topic)
        self._check_not_in_file(topic, name)
        try:
            Topic.model_validate({"inputSchema": known.input_schema, "eventSubscriptions": {name: subscription}})
        except ValidationError as error:
            raise InvalidSubscriptions("; ".join(problems_of(error))) from error

    def add(self, topic: str, name: str, subscription: Subscription) -> None:
        """Add or replace a subscription, for good. Raises as `check_addable`."""
        self.check_addable(topic, name, subscription)
        self._added[topic][name] = subscription
        self._write()

    def remove(self, topic: str, name: str) -> None:
        """Take out a subscription that was added. Raises UnknownSubscription, InvalidSubscriptions."""
        self.subscription(topic, name)
        self._check_not_in_file(topic, name)
        del self._added[topic][name]
        self._write()

    def _check_not_in_file(self, topic: str, name: str) -> None:
        if name in self._topics[topic].event_subscriptions:
            raise InvalidSubscriptions(f"{topic}/{name} stands in the subscriptions file; change it there and restart.")

    def _write(self) -> None:
        topics = {
            name: {"inputSchema": self._topics[name].input_schema, "eventSubscriptions": subscriptions}
            for name, subscriptions in self._added.items()
            if subscriptions
        }
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(
            SubscriptionsFile.model_validate({"topics": topics}).model_dump_json(by_alias=True, indent=2)
        )
        os.replace(unfinished, self._path)  # noqa: PTH105 - the one call that is atomic by contract
