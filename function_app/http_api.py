"""The HTTP API, put together. `docs/http-api.md` describes it for its users."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

import function_app
from function_app import event_door, http_drops, http_jobs, http_models, http_service, problems
from function_app.callers import Callers
from function_app.http_access import Access, DataCaller
from function_app.http_edge import Edge
from function_app.kedja import Kedja
from function_app.settings import Settings

_TAGS = [
    {"name": "jobs", "description": "What runs, and how to start, stop and repeat it."},
    {"name": "drops", "description": "What was dropped, and its receipt."},
    {"name": "models", "description": "What came of it."},
    {"name": "service", "description": "The service itself."},
    {"name": "events", "description": "The door for other systems' events."},
]

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
    for part in (http_jobs, http_drops, http_models, http_service, event_door):
        app.include_router(part.router)
    app.include_router(router)
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
    return schema
