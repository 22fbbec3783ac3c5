"""The HTTP API as an ASGI app. `docs/http-api.md` describes it for its users."""

import functools
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

import function_app
from function_app.http import event_ingest, page, problems
from function_app.http.auth import AuthContext, DataUser
from function_app.http.callers import Callers
from function_app.http.idempotency import HEADER, LONGEST_KEY
from function_app.http.idempotent import Idempotency
from function_app.http.middleware import BodyLimitAndErrors
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
    {"name": "jobs", "description": "Submit, watch, cancel and retry jobs."},
    {"name": "drops", "description": "Drops and their receipts."},
    {"name": "experiments", "description": "List and delete experiments."},
    {"name": "uploads", "description": "Drop files by HTTP."},
    {"name": "models", "description": "Registered models and their champions."},
    {"name": "service", "description": "The service itself."},
    {"name": "events", "description": "Published events, and events from other systems."},
]

_PARTS = (
    jobs,
    drops,
    live,
    experiments,
    uploads,
    owners,  # before the models, whose routes would take `owner` for a version
    models,
    service,
    replay,
    approvals,
    events,
    event_ingest,
)

_KEY = '^([!#-~]+|"[ !#-~]+")$'
"""The pattern of an idempotency key, as `function_app.http.idempotency` reads it."""

router = APIRouter()


@router.get("/api/openapi.json", include_in_schema=False)
def get_schema(request: Request, _caller: DataUser) -> Response:
    """Return the API's OpenAPI 3.1 document."""
    return JSONResponse(request.app.openapi())


def create_api(kedja: Callable[[], Kedja], environ: Mapping[str, str]) -> FastAPI:
    """Return the API as an ASGI app. `kedja` is called when a request first needs the service.

    It has no documentation page, which would load scripts from another host.

    Raises:
        InvalidSettings: settings are wrong, or would open the API to everyone.
    """
    settings = Settings.read(environ)
    app = FastAPI(
        title="Kedja",
        version=function_app.__version__,
        description="Training jobs and models from dropped files.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=_TAGS,
    )
    app.state.access = AuthContext(kedja, Callers.read(settings, environ), settings.event_origins)
    app.state.page_policy = page.content_policy(environ)
    for part in _PARTS:
        app.include_router(part.router)
    app.include_router(router)
    app.include_router(page.router)
    app.mount("/ui", page.FILES)
    app.add_middleware(Idempotency, access=lambda: app.state.access)
    app.add_middleware(BodyLimitAndErrors)
    problems.register_handlers(app)
    app.openapi = functools.cache(lambda: _described(app))  # type: ignore[method-assign] # as FastAPI documents it
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the problems that any route may return."""
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
    """Document the idempotency key, which the middleware reads, and its problems."""
    description = "A new text for each new request. Repeating the request with the same key returns the same response."
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY + 2, "pattern": _KEY}
    parameter = {"name": HEADER, "in": "header", "required": False, "description": description, "schema": schema}
    operation.setdefault("parameters", []).append(parameter)
    operation["responses"] = {**problems.problem_responses(HTTPStatus.CONFLICT), **operation["responses"]}
