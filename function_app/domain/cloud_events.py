"""Announcements: the CloudEvents that tell other systems what happened. `docs/events.md` has their schemas."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from function_app.domain.document import Document
from function_app.errors import KedjaError


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
    """An event that is to be published. The same happening always has the same id, so a repeat can be told."""

    id: str
    type: EventType
    source: str
    subject: str
    time: datetime
    data: dict[str, Any]


class PublishingFailed(KedjaError):
    """The events were not accepted; they stay in their receipt's outbox."""


class EventsRejected(KedjaError):
    """The topic accepts some events not as they are (`refused`); all others were accepted."""

    def __init__(self, message: str, refused: Sequence[OutgoingEvent]) -> None:
        super().__init__(message)
        self.refused = refused


class Publisher(Protocol):
    """Sends announcements."""

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        """Send them all.

        Raises:
            PublishingFailed: where they were not accepted, or not all.
            EventsRejected: where all were accepted but those that the topic will not take as they are.
        """
