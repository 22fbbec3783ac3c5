"""The HTTP API, put together. `docs/http-api.md` describes it for its users."""

import functools
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

import function_app
from function_app.http import event_ingest, page, problems
from function_app.http.auth import Access, DataCaller
from function_app.http.callers import Callers
from function_app.http.idempotency import HEADER, LONGEST_KEY
from function_app.http.idempotent import Idempotency
from function_app.http.middleware import Edge
from function_app.http.routes import (
    approvals,
    drops,
    events,
    experiments,
    jobs,
    live,
    models,
    owners,
    replay,
    service,
    uploads,
)
from function_app.operations.service import Kedja
from function_app.settings import Settings

_TAGS = [
    {"name": "jobs", "description": "What runs, and how to start, stop and repeat it."},
    {"name": "drops", "description": "What was dropped, and its receipt."},
    {"name": "experiments", "description": "What drops belong to, and the end of one."},
    {"name": "uploads", "description": "Dropping files by HTTP."},
    {"name": "models", "description": "What came of it."},
    {"name": "service", "description": "The service itself."},
    {"name": "events", "description": "The door for other systems' events."},
]

_PARTS = (
    jobs,
    drops,
    live,
    experiments,
    uploads,
    owners,  # before the models, where `owner` would be a version
    models,
    service,
    replay,
    approvals,
    events,
    event_ingest,
)

_KEY = '^([!#-~]+|"[ !#-~]+")$'
"""What an idempotency key looks like, as `function_app.http.idempotency` reads it."""

router = APIRouter()


@router.get("/api/openapi.json", include_in_schema=False)
def get_schema(request: Request, _caller: DataCaller) -> Response:
    """Return this API's description (OpenAPI 3.1)."""
    return JSONResponse(request.app.openapi())


def create_api(kedja: Callable[[], Kedja], environ: Mapping[str, str]) -> FastAPI:
    """Return the API as an ASGI app. `kedja` is called when a request first needs the service.

    There is no page of documentation: it would load its scripts from another host.

    Raises:
        InvalidSettings: where settings are wrong, or would leave the door open.
    """
    settings = Settings.read(environ)
    app = FastAPI(
        title="Kedja",
        version=function_app.__version__,
        description="Training jobs and models that come of dropped files.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=_TAGS,
    )
    app.state.access = Access(kedja, Callers.read(settings, environ), settings.event_origins)
    app.state.page_policy = page.content_policy(environ)
    for part in _PARTS:
        app.include_router(part.router)
    app.include_router(router)
    app.include_router(page.router)
    app.add_middleware(Idempotency, access=lambda: app.state.access)
    app.add_middleware(Edge)
    problems.install(app)
    app.openapi = functools.cache(lambda: _described(app))  # type: ignore[method-assign] # as FastAPI documents it
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document with the problems that every route may answer with."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
    )
    schemas = schema["components"]["schemas"]
    view = problems.ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(view.pop("$defs"))
    schemas["ProblemView"] = view
    for path in schema["paths"].values():
        if "post" in path:
            _takes_a_key(path["post"])
    return schema


def _takes_a_key(operation: dict[str, Any]) -> None:
    """Document the idempotency key, which the middleware reads, and what it may answer."""
    description = "A new text for each thing to be done: sent again with the same request, it gets the same answer."
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY + 2, "pattern": _KEY}
    parameter = {"name": HEADER, "in": "header", "required": False, "description": description, "schema": schema}
    operation.setdefault("parameters", []).append(parameter)
    operation["responses"] = {**problems.answers(HTTPStatus.CONFLICT), **operation["responses"]}
