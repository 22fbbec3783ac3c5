"""Sends events to webhooks, after the handshake by which an endpoint accepts them.

Formats: https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema,
https://learn.microsoft.com/azure/event-grid/end-point-validation-cloud-events-schema and, for the headers,
https://learn.microsoft.com/azure/event-grid/delivery-properties.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from local_azure.clock import Clock
from local_azure.event_grid.event_schema import Event, EventSchema
from local_azure.event_grid.event_target import DeliveryRefused

_ORIGIN = "eventgrid.azure.net"  # the origin that Event Grid sends, and that webhooks allow
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_OK = 200
_DELIVERED = range(200, 205)
_FINAL = (400, 401, 403, 404, 413)  # statuses that Event Grid does not retry


class HandshakeFailed(DeliveryRefused):
    """The endpoint did not complete the handshake."""


class EventWebhook:
    """The endpoint of one subscription.

    `name` is the subscription's name, `topic` the topic's resource id. A `batch_size` above 1 sends CloudEvents in
    arrays.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        schema: EventSchema,
        batch_size: int,
        name: str,
        topic: str,
        clock: Clock,
    ) -> None:
        self.batch_size = batch_size
        self._http = http
        self._url = url
        self._schema = schema
        self._name = name.upper()  # as Event Grid writes it
        self._topic = topic
        self._clock = clock
        self._is_validated = False

    async def validate_endpoint(self) -> None:
        """Perform the handshake with the endpoint.

        Raises:
            HandshakeFailed: the endpoint did not answer, or not as Event Grid requires.
        """
        try:
            if self._schema is EventSchema.CLOUD_EVENTS:
                await self._validate_by_origin()
            else:
                await self._validate_by_code()
        except httpx.HTTPError as error:
            raise HandshakeFailed(
                f"The webhook {self._address} does not answer the handshake: {error!r}.", 503
            ) from error
        self._is_validated = True

    async def send(self, events: Sequence[Event], attempt: int) -> None:
        """Send events in one request, after the handshake if there was none yet.

        Raises:
            DeliveryRefused: the endpoint did not accept them, or failed the handshake.
        """
        if not self._is_validated:
            await self.validate_endpoint()
        as_array = self._schema is EventSchema.EVENT_GRID or self.batch_size > 1
        headers = {
            "content-type": self._content_type(as_array=as_array),
            "aeg-event-type": "Notification",
            "aeg-subscription-name": self._name,
            "aeg-delivery-count": str(attempt),
            "aeg-metadata-version": "1",
            "aeg-data-version": str(events[0].get("dataVersion", "")),
        }
        body = json.dumps(list(events) if as_array else events[0])
        try:
            response = await self._http.post(self._url, content=body.encode(), headers=headers)
        except httpx.TimeoutException as error:
            raise DeliveryRefused(f"The webhook {self._address} did not answer in time.", 408) from error
        except httpx.HTTPError as error:
            raise DeliveryRefused(f"The webhook {self._address} does not answer: {error!r}.", 503) from error
        status = response.status_code
        if status not in _DELIVERED:
            message = f"The webhook {self._address} answered {status}: {response.text[:200]}"
            raise DeliveryRefused(message, status, is_final=status in _FINAL)

    @property
    def _address(self) -> str:
        """The URL without its query, which may contain a key."""
        return self._url.partition("?")[0]

    def _content_type(self, *, as_array: bool) -> str:
        if self._schema is EventSchema.EVENT_GRID:
            return "application/json; charset=utf-8"
        return f"application/cloudevents{'-batch' if as_array else ''}+json; charset=utf-8"

    async def _validate_by_code(self) -> None:
        code = str(uuid.uuid4()).upper()
        event: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "topic": self._topic,
            "subject": "",
            "data": {"validationCode": code},
            "eventType": _VALIDATION,
            "eventTime": self._clock.now().isoformat().replace("+00:00", "Z"),
            "metadataVersion": "1",
            "dataVersion": "2",
        }
        headers = {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": self._name}
        response = await self._http.post(self._url, json=[event], headers=headers)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code != _OK or not isinstance(answer, dict) or answer.get("validationResponse") != code:
            raise HandshakeFailed(
                f"The webhook {self._address} answered the handshake with {response.status_code} "
                f"{response.text[:200]!r}; "
                'Event Grid requires 200 and {"validationResponse": <data.validationCode of the event>}.',
                response.status_code,
            )

    async def _validate_by_origin(self) -> None:
        response = await self._http.options(self._url, headers={"WebHook-Request-Origin": _ORIGIN})
        allowed = response.headers.get("WebHook-Allowed-Origin", "")
        if response.status_code != _OK or allowed not in (_ORIGIN, "*"):
            raise HandshakeFailed(
                f"The webhook {self._address} answered OPTIONS with {response.status_code} and WebHook-Allowed-Origin "
                f"{allowed!r}; CloudEvents require 200 and {_ORIGIN!r} or '*'.",
                response.status_code,
            )
