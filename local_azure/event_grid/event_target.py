"""What a delivery needs of the place that events go to."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from local_azure.errors import LocalAzureError
from local_azure.event_grid.event_schema import Event

# Where Event Grid's words (https://learn.microsoft.com/azure/event-grid/delivery-and-retry) are not those of HTTP.
_OUTCOMES = {HTTPStatus.REQUEST_TIMEOUT: "TimedOut", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLarge"}


class DeliveryRefused(LocalAzureError):
    """The events were not taken. `status` is the HTTP status of the answer: 408 where none came in time, 503 if none.

    `is_final` says that trying again cannot help.
    """

    def __init__(self, message: str, status: int, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_final = is_final

    @property
    def outcome(self) -> str:
        """Event Grid's word for the status, such as NotFound."""
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
        """How many events it takes at once."""
        ...

    async def send(self, events: Sequence[Event], attempt: int) -> None:
        """Hand over up to `batch_size` events; `attempt` counts from 0. Raises DeliveryRefused."""
        ...
