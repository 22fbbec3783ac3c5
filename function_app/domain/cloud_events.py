"""The CloudEvents that Kedja publishes to other systems. `docs/events.md` has their schemas."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from function_app.domain.document import Document
from function_app.errors import Refused, Transient


class EventType(enum.StrEnum):
    """Types of the published events."""

    JOB_SUBMITTED = "Kedja.JobSubmitted"
    DROP_REJECTED = "Kedja.DropRejected"
    JOB_COMPLETED = "Kedja.JobCompleted"
    JOB_FAILED = "Kedja.JobFailed"
    JOB_CANCELED = "Kedja.JobCanceled"
    MODEL_REGISTERED = "Kedja.ModelRegistered"
    MODEL_NOT_REGISTERED = "Kedja.ModelNotRegistered"


class OutgoingEvent(Document):
    """An event to publish. The same occurrence always has the same id, so receivers can recognize a repeat."""

    id: str
    type: EventType
    source: str
    subject: str
    time: datetime
    data: dict[str, Any]


class PublishingFailed(Transient):
    """The events were not accepted; they stay in their receipt's outbox."""


class EventsRejected(Refused):
    """The topic refuses some events (`refused`), and would refuse them again; it accepted all others."""

    def __init__(self, message: str, refused: Sequence[OutgoingEvent]) -> None:
        super().__init__(message)
        self.refused = refused


class Publisher(Protocol):
    """Publishes events."""

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        """Publish the events.

        Raises:
            PublishingFailed: They were not accepted, or not all.
            EventsRejected: All were accepted except those that the topic refuses permanently.
        """
