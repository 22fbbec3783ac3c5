"""The parts of the Functions host's admin API that a local stack needs: its status, and running a function manually.

Format: https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http. The master
key is not modelled: every program on this machine may call it, but no web page except the app's own (`port_guard`).
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.timer_listener import TimerListener
from local_azure.functions_host.worker import UnknownFunction, Worker


class HostAdmin:
    """The routes under `/admin`. `timers` are the host's timers by function name."""

    def __init__(self, worker: Worker, timers: Mapping[str, TimerListener]) -> None:
        self._worker = worker
        self._timers = timers

    async def status(self, _request: Request) -> Response:
        """Answer GET /admin/host/status: the state, and each function with its trigger."""
        functions = [{"name": item.name, "trigger": item.trigger["type"]} for item in self._worker.functions]
        return JSONResponse({"state": "Running", "functions": functions})

    async def invoke(self, request: Request) -> Response:
        """Answer POST /admin/functions/{name}, body `{"input": "…"}`: 202 immediately, then the function runs.

        404 for an unknown function, 400 for an HTTP function or an invalid body.
        """
        name = request.path_params["name"]
        try:
            kind = str(self._worker.function(name).trigger["type"]).lower()
            data = self._data(name, kind, await request.body())
        except UnknownFunction as error:
            return PlainTextResponse(str(error), status_code=HTTPStatus.NOT_FOUND)
        except ValueError as error:
            return PlainTextResponse(f'the body must be {{"input": "…"}}: {error}', status_code=HTTPStatus.BAD_REQUEST)
        if data is None:
            return PlainTextResponse(f"{name} answers HTTP: call its route", status_code=HTTPStatus.BAD_REQUEST)
        return Response(status_code=HTTPStatus.ACCEPTED, background=BackgroundTask(self._worker.invoke, name, data))

    def _data(self, name: str, kind: str, body: bytes) -> TypedData | None:
        document = json.loads(body or b"{}")
        text = document.get("input", "") if isinstance(document, dict) else None
        if not isinstance(text, str):
            raise ValueError("input must be text")  # noqa: TRY004 - one error type for every invalid body
        if kind == "timertrigger":
            return self._timers[name].payload()
        if kind == "queuetrigger":
            return TypedData(string=text)
        if kind == "eventgridtrigger":
            json.loads(text)
            return TypedData(json=text)
        return None
