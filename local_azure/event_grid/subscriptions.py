"""The topics of the local Event Grid and their subscriptions.

They are defined in a JSON file, in the format of Azure's templates
(https://learn.microsoft.com/azure/templates/microsoft.eventgrid/eventsubscriptions):

    {"topics": {"storage": {"inputSchema": "EventGridSchema", "eventSubscriptions": {"data": {
        "destination": {"endpointType": "StorageQueue", "properties": {"queueName": "blob-events"}},
        "filter": {"includedEventTypes": ["Microsoft.Storage.BlobCreated"], "subjectBeginsWith": "/blobServices/…"},
        "deadLetterDestination": {"endpointType": "StorageBlob", "properties": {"blobContainerName": "dead-letter"}}
    }}}}}

Subscriptions that are created while the server runs are stored in a second file of the same format, with its state.
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
    """A queue of the local storage account. `resource_id` is only used in Azure, and ignored here."""

    queue_name: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9])+$", max_length=63)
    resource_id: str | None = None


class StorageQueue(_Model):
    """A queue destination: one event per message, JSON in Base64, without expiry."""

    endpoint_type: Literal["StorageQueue"]
    properties: QueueProperties


class WebhookProperties(_Model):
    """The URL, and the max number of events in a request. In the Event Grid schema, one event is an array too."""

    endpoint_url: HttpUrl
    max_events_per_batch: int = Field(default=1, ge=1, le=5000)


class Webhook(_Model):
    """A webhook destination; it must pass the handshake before it gets events."""

    endpoint_type: Literal["WebHook"]
    properties: WebhookProperties


class RetryPolicy(_Model):
    """When to give up a delivery: at the first of these limits."""

    max_delivery_attempts: int = Field(default=30, ge=1, le=30)
    event_time_to_live_in_minutes: int = Field(default=1440, ge=1, le=1440)


class DeadLetterProperties(_Model):
    """A container of the local storage account. `resource_id` is only used in Azure, and ignored here."""

    blob_container_name: str
    resource_id: str | None = None


class DeadLetterDestination(_Model):
    """The container for undeliverable events."""

    endpoint_type: Literal["StorageBlob"] = "StorageBlob"
    properties: DeadLetterProperties


class Subscription(_Model):
    """Which events of a topic are delivered, where, and in which schema (None: the topic's)."""

    destination: Annotated[StorageQueue | Webhook, Field(discriminator="endpoint_type")]
    filter: EventFilter = EventFilter()
    event_delivery_schema: EventSchema | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    dead_letter_destination: DeadLetterDestination | None = None


class Topic(_Model):
    """A topic to publish to."""

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
        """Return the schema in which the subscription gets events."""
        return subscription.event_delivery_schema or self.input_schema


class SubscriptionsFile(_Model):
    """The content of the file. `faults` are active from the start."""

    topics: dict[str, Topic]
    faults: FaultPlan = FaultPlan()


def read_file(path: Path) -> SubscriptionsFile:
    """Read a subscriptions file.

    Raises:
        InvalidSubscriptions: it cannot be read or is invalid; the message names each wrong value and its location.
    """
    try:
        return SubscriptionsFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidSubscriptions(f"The subscriptions file {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise InvalidSubscriptions(
            f"The subscriptions file {path} is wrong: {'; '.join(problems_of(error))}."
        ) from error


class SubscriptionBook:
    """All topics and subscriptions: those of the main file, which is never written, and those added, in `added`.

    Raises:
        InvalidSubscriptions: the file `added` is invalid.
    """

    def __init__(self, topics: Mapping[str, Topic], added: Path) -> None:
        self._topics = dict(topics)
        self._path = added
        stored = read_file(added).topics if added.exists() else {}
        self._added = {name: dict(stored[name].event_subscriptions) if name in stored else {} for name in topics}

    def topic(self, name: str) -> Topic:
        """Return the topic with all its subscriptions.

        Raises:
            UnknownSubscription: there is no such topic.
        """
        if name not in self._topics:
            raise UnknownSubscription(f"There is no topic {name!r}; the topics are: {', '.join(self._topics)}.")
        topic = self._topics[name]
        return topic.model_copy(update={"event_subscriptions": self._added[name] | topic.event_subscriptions})

    def subscription(self, topic: str, name: str) -> Subscription:
        """Return the subscription.

        Raises:
            UnknownSubscription: there is no such topic or subscription.
        """
        subscriptions = self.topic(topic).event_subscriptions
        if name not in subscriptions:
            raise UnknownSubscription(f"The topic {topic!r} has no subscription {name!r}.")
        return subscriptions[name]

    def topics(self) -> Iterable[str]:
        """Return the names of the topics."""
        return self._topics.keys()

    def check_addable(self, topic: str, name: str, subscription: Subscription) -> None:
        """Check that a subscription may be added.

        Raises:
            InvalidSubscriptions: one of this name is defined in the main file, or it does not fit the topic.
            UnknownSubscription: there is no such topic.
        """
        known = self.topic(topic)
        self._check_not_in_file(topic, name)
        try:
            Topic.model_validate({"inputSchema": known.input_schema, "eventSubscriptions": {name: subscription}})
        except ValidationError as error:
            raise InvalidSubscriptions("; ".join(problems_of(error))) from error

    def add(self, topic: str, name: str, subscription: Subscription) -> None:
        """Add or replace a subscription, and store it.

        Raises:
            InvalidSubscriptions: as `check_addable`.
            UnknownSubscription: there is no such topic.
        """
        self.check_addable(topic, name, subscription)
        self._added[topic][name] = subscription
        self._write()

    def remove(self, topic: str, name: str) -> None:
        """Remove a subscription that was added.

        Raises:
            InvalidSubscriptions: it is defined in the main file.
            UnknownSubscription: there is no such topic or subscription.
        """
        self.subscription(topic, name)
        self._check_not_in_file(topic, name)
        del self._added[topic][name]
        self._write()

    def _check_not_in_file(self, topic: str, name: str) -> None:
        if name in self._topics[topic].event_subscriptions:
            raise InvalidSubscriptions(
                f"{topic}/{name} is defined in the subscriptions file; change it there and restart."
            )

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
