"""The entrance for events that Event Grid did not put on a queue: by HTTP, by a subscription of their own, replayed."""

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
class Entrance:
    """Puts events on the queues that their kinds belong to."""

    queues: Queues
    requests: TrainingRequests

    def admit(self, event: Mapping[str, Any], *, code: bool = False) -> bool:
        """Admit one event, as `admit_all` does; return whether it is of a kind that Kedja acts on."""
        return self.admit_all([event], code=code) == 1

    def admit_all(self, received: Iterable[Mapping[str, Any]], *, code: bool = False) -> int:
        """Put events on their queues once each was found good; return how many are of a kind that Kedja acts on.

        `code` says that their sender may decide what code runs.

        Raises:
            InvalidEvent: where a known kind lacks what it must have.
            InvalidJobSpec, RoleMissing: where a request for training asks for what cannot be, or not of this sender.
        """
        found = [put for event in received if (put := self._checked(event, code=code)) is not None]
        for put in found:
            put()
        return len(found)

    def _checked(self, event: Mapping[str, Any], *, code: bool) -> Callable[[], None] | None:
        """Return what puts an event on its queue, or None for one that is none of Kedja's business."""
        parsed = incoming_events.parse(event)
        if parsed is None:
            logger.info("An event of type %s is none of Kedja's business.", incoming_events.type_of(event))
            return None
        if isinstance(parsed, incoming_events.TrainingRequested):
            return partial(self.requests.send, self.requests.check(parsed, code=code), parsed.spec)
        queue = naming.BLOB_EVENTS if isinstance(parsed, incoming_events.BlobCreated) else naming.RUN_EVENTS
        return partial(self.queues.send, queue, incoming_events.message(parsed))
