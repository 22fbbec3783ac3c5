"""The HTTP API over the service in memory, and who calls it."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from attrs import frozen
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from function_app.http.api import create_api
from function_app.http.api_keys import ApiKeys
from function_app.http.auth import AuthContext
from function_app.http.callers import Role
from function_app.operations.service import Kedja
from tests.unit.http_client import Client
from tests.unit.simulation import World

LOCAL = {"KEDJA_AUTH": "local", "KedjaStorage": "UseDevelopmentStorage=true"}
KEYS = {"KEDJA_AUTH": "keys"}


@frozen
class Api:
    """The API over one service, as an ASGI app. Equal settings share an app: preparing its routes is slow."""

    app: FastAPI
    access: AuthContext

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.app.state.access = self.access
        await self.app(scope, receive, send)


def api_over(kedja: Callable[[], Kedja], environ: Mapping[str, str]) -> Api:
    """Return the API with these settings over the service that `kedja` returns."""
    app = _app(tuple(sorted(environ.items())))
    access: AuthContext = app.state.access
    return Api(app, AuthContext(kedja, access.callers, access.event_origins))


@functools.cache
def _app(environ: tuple[tuple[str, str], ...]) -> FastAPI:
    return create_api(lambda: pytest.fail("A request came without its service."), dict(environ))


def limited(world: World, role: Role, *experiments: str) -> Client:
    """Return a client with a key."""
    text, _ = ApiKeys(blobs=world.blobs, clock=world.clock).create("robot", role, experiments=experiments or ("*",))
    return Client(api_over(lambda: world.kedja, KEYS), {"X-Kedja-Key": text})


def routes_of(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """Yield each route of an app with its name, those of included routers too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield f"{'/'.join(sorted(route.methods or ()))} {prefix}{route.path}", route
        elif not isinstance(route, Mount):
            yield from routes_of(route.original_router.routes)


API = create_api(lambda: pytest.fail("Nothing may connect before a request."), LOCAL)
ROUTES = {name: route for name, route in routes_of(API.routes) if "/api/" in name}
