"""The Event Grid trigger's webhook, `/runtime/webhooks/EventGrid?functionName=F`.

The rules follow EventGridExtensionConfigProvider and HttpRequestProcessor of
Microsoft.Azure.WebJobs.Extensions.EventGrid. The system key (`code`) is not modelled: any value is accepted.
"""

import asyncio
import json
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.worker import Worker

_log = logging.getLogger(__name__)

TRIGGER = "eventgridtrigger"


class EventGridWebhook:
    """Answers handshakes, notifications (concurrently, one invocation per event), and unsubscriptions."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._functions = {
            function.name for function in worker.functions if str(function.trigger["type"]).lower() == TRIGGER
        }

    async def answer(self, request: Request) -> Response:
        """Answer one request.

        404 for an unknown function, 400 for an unknown `aeg-event-type` or an invalid body, 202 if every invocation
        succeeded, 500 with the first error's message otherwise: Event Grid then sends all of the events again.
        """
        name = request.query_params.get("functionName", "")
        if name not in self._functions:
            _log.info("The webhook has no function %r; it has %s.", name, ", ".join(sorted(self._functions)) or "none")
            return PlainTextResponse(f"cannot find function: '{name}'", status_code=404)
        if request.method == "OPTIONS":
            return _allow_origin(request)
        return await self._deliver(name, request)

    async def _deliver(self, name: str, request: Request) -> Response:
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "unsubscribe":
            return Response(status_code=202)
        if kind not in ("subscriptionvalidation", "notification"):
            return PlainTextResponse(f"unknown aeg-event-type {kind!r}", status_code=400)
        try:
            document = json.loads(await request.body())
            events = _events(document)
            if kind == "subscriptionvalidation":
                return JSONResponse({"validationResponse": _validation_code(events[0])})
        except (ValueError, LookupError, TypeError) as error:
            return PlainTextResponse(f"the body is not valid for {kind}: {error}", status_code=400)
        return await self._notify(name, events)

    async def _notify(self, name: str, events: list[dict[str, Any]]) -> Response:
        ended = await asyncio.gather(
            *(self._worker.invoke(name, TypedData(json=json.dumps(event))) for event in events)
        )
        for invocation in ended:
            if not invocation.succeeded:
                return PlainTextResponse(invocation.message, status_code=500)
        return Response(status_code=202)


def _allow_origin(request: Request) -> Response:
    """Answer the CloudEvents handshake (HTTP 1.1 Web Hooks for Event Delivery, section 4)."""
    origin = request.headers.get("webhook-request-origin")
    if origin is None:
        return PlainTextResponse("WebHook-Request-Origin is missing", status_code=400)
    return Response(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"})


def _events(document: object) -> list[dict[str, Any]]:
    items = document if isinstance(document, list) else [document]
    events = [item for item in items if isinstance(item, dict)]
    if len(events) < len(items):
        raise ValueError("it must be an object, or an array of them")
    return events


def _validation_code(event: dict[str, Any]) -> str:
    data = event["data"]
    if isinstance(data, str):  # in a CloudEvent, the data is a JSON string here
        data = json.loads(data)
    return str(data["validationCode"])
