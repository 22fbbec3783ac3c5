"""The interface of a delivery target: a queue or a webhook."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from local_azure.errors import LocalAzureError
from local_azure.event_grid.event_schema import Event

# Outcomes whose names in Event Grid differ from HTTP's: https://learn.microsoft.com/azure/event-grid/delivery-and-retry
_OUTCOMES = {HTTPStatus.REQUEST_TIMEOUT: "TimedOut", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLarge"}


class DeliveryRefused(LocalAzureError):
    """The target did not accept the events.

    `status` is the HTTP status of the response: 408 after a timeout, 503 if there was none. If `is_final`, a retry
    cannot succeed.
    """

    def __init__(self, message: str, status: int, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_final = is_final

    @property
    def outcome(self) -> str:
        """Event Grid's name for the status, such as NotFound."""
        if self.status in _OUTCOMES:
            return _OUTCOMES[HTTPStatus(self.status)]
        try:
            return HTTPStatus(self.status).phrase.title().replace(" ", "")
        except ValueError:
            return str(self.status)


class EventTarget(Protocol):
    """A queue or a webhook."""

    @property
    def batch_size(self) -> int:
        """The max number of events in one call of `send`."""
        ...

    async def send(self, events: Sequence[Event], attempt: int) -> None:
        """Deliver up to `batch_size` events; `attempt` counts from 0.

        Raises:
            DeliveryRefused: the target did not accept them.
        """
        ...
