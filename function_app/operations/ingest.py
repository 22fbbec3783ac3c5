"""Ingest events that Event Grid did not put on a queue: sent by HTTP, by a custom subscription, or replayed."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from function_app.domain import incoming_events, naming
from function_app.operations.training_requests import TrainingRequests
from function_app.ports.storage import Queues

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class EventIngest:
    """Puts events on the queues of their types."""

    queues: Queues
    training_requests: TrainingRequests

    def ingest(self, event: Mapping[str, Any], *, code: bool = False) -> bool:
        """Ingest one event, as `admit_all` does; return whether Kedja handles its type."""
        return self.admit_all([event], code=code) == 1

    def admit_all(self, received: Iterable[Mapping[str, Any]], *, code: bool = False) -> int:
        """Validate all events, then put them on their queues; return how many are of types that Kedja handles.

        `code`: the sender may decide what code runs.

        Raises:
            InvalidEvent: an event of a known type lacks a required field.
            InvalidJobSpec: a training request has an invalid job spec.
            RoleMissing: a training request sets keys that its sender may not set.
        """
        found = [put for event in received if (put := self._checked(event, code=code)) is not None]
        for put in found:
            put()
        return len(found)

    def _checked(self, event: Mapping[str, Any], *, code: bool) -> Callable[[], None] | None:
        """Validate an event; return a function that puts it on its queue, or None if Kedja ignores its type."""
        parsed = incoming_events.parse(event)
        if parsed is None:
            logger.info("Ignored an event of type %s.", incoming_events.type_of(event))
            return None
        if isinstance(parsed, incoming_events.TrainingRequested):
            return partial(self.training_requests.send, self.training_requests.check(parsed, code=code), parsed.spec)
        queue = naming.BLOB_EVENTS if isinstance(parsed, incoming_events.BlobCreated) else naming.RUN_EVENTS
        return partial(self.queues.send, queue, incoming_events.message(parsed))
