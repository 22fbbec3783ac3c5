"""The HTTP trigger: turns requests into invocations, and results into responses, as the Functions host does.

Function keys are not modelled: `authLevel` function and admin are open to everyone, as under `func start`. A
function receives the method, the URL as sent, headers in lower case, non-empty query values (repeated headers and
values joined by commas), route parameters, and the body as bytes.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from attrs import frozen
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local_azure.functions_host.http_route import RouteTemplate
from local_azure.functions_host.rpc_messages import RpcHttp, RpcHttpCookie, TypedData
from local_azure.functions_host.worker import Function, Invocation, Worker

_SAME_SITE: dict[int, Any] = {
    RpcHttpCookie.SameSite.Lax: "lax",
    RpcHttpCookie.SameSite.Strict: "strict",
    RpcHttpCookie.SameSite.ExplicitNone: "none",
}
_HOMEPAGE = "Your Functions host is up and running. AzureWebJobsDisableHomepage=true lets a function answer here.\n"


@frozen(kw_only=True)
class HttpTrigger:
    """A function with an HTTP trigger. `methods` is None if it accepts every method."""

    function: str
    route: RouteTemplate
    methods: frozenset[str] | None

    @classmethod
    def of(cls, function: Function, route_prefix: str) -> "HttpTrigger":
        """Read a function's trigger; the route defaults to the function's name.

        Raises:
            InvalidRoute: the route is invalid or not supported.
        """
        trigger = function.trigger
        route = trigger.get("route")
        methods = trigger.get("methods")
        return cls(
            function=function.name,
            route=RouteTemplate.parse(f"{route_prefix}/{function.name if route is None else route}"),
            methods=frozenset(str(method).upper() for method in methods) if methods else None,
        )


class HttpDispatcher:
    """An ASGI app that passes each request to the function with the most specific matching route.

    If no function matches the route and the method, the response is 404. The path `/` is the host's homepage unless
    `homepage` is false (AzureWebJobsDisableHomepage=true).
    """

    def __init__(self, worker: Worker, triggers: Iterable[HttpTrigger], *, homepage: bool) -> None:
        self._worker = worker
        self._triggers = sorted(triggers, key=lambda trigger: trigger.route.precedence)
        self._homepage = homepage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = _raw_path(request)
        if self._homepage and path == "/":
            return Response(_HOMEPAGE, media_type="text/plain")
        for trigger in self._triggers:
            if trigger.methods is not None and request.method not in trigger.methods:
                continue
            params = trigger.route.match(path)
            if params is not None:
                invocation = await self._worker.invoke(
                    trigger.function,
                    TypedData(http=await _rpc_request(request, path, params)),
                    trace_parent=request.headers.get("traceparent", ""),
                )
                return to_response(invocation, request.method)
        return Response(status_code=404)


async def _rpc_request(request: Request, path: str, params: dict[str, str]) -> RpcHttp:
    query = request.scope["query_string"].decode("latin-1")
    host = request.headers.get("host") or request.url.netloc
    body = await request.body()
    return RpcHttp(
        method=request.method,
        url=f"{request.url.scheme}://{host}{path}{'?' if query else ''}{query}",
        headers=_joined_headers(request.headers),
        params=params,
        query=_joined_query(request.query_params),
        body=TypedData(bytes=body) if body else TypedData(),
    )


def _raw_path(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    return raw.split(b"?", 1)[0].decode("latin-1") or "/"


def _joined_headers(headers: Headers) -> dict[str, str]:
    return {name: ("; " if name == "cookie" else ",").join(headers.getlist(name)) for name in headers}


def _joined_query(query: QueryParams) -> dict[str, str]:
    joined = {name: ",".join(query.getlist(name)) for name in query}
    return {name: value for name, value in joined.items() if value}


def to_response(invocation: Invocation, method: str) -> Response:
    """Return the HTTP response of an invocation: 204 if it returned no value, 500 if it failed."""
    if not invocation.succeeded:
        return Response(status_code=500)
    value = invocation.return_value
    kind = value.WhichOneof("data") if value is not None else None
    if value is None or kind is None:
        return Response(status_code=204)
    if kind == "http":
        return _http_response(value.http, method)
    media_type = {"json": "application/json", "bytes": "application/octet-stream"}.get(kind, "text/plain")
    return Response(getattr(value, kind), media_type=media_type)


def _http_response(http: RpcHttp, method: str) -> Response:
    headers = {name: value for name, value in http.headers.items() if name.lower() != "transfer-encoding"}
    if method != "HEAD":  # for HEAD, the length is that of the body of a GET
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    kind = http.body.WhichOneof("data")
    body = getattr(http.body, kind) if kind else b""
    response = Response(body, status_code=int(http.status_code), headers=headers)
    for cookie in http.cookies or ():
        _set_cookie(response, cookie)
    return response


def _set_cookie(response: Response, cookie: RpcHttpCookie) -> None:
    expires = cookie.expires.value.seconds if cookie.expires else None
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=int(cookie.max_age.value) if cookie.max_age else None,
        expires=datetime.fromtimestamp(expires, UTC) if expires is not None else None,
        path=(cookie.path and cookie.path.value) or None,
        domain=(cookie.domain and cookie.domain.value) or None,
        secure=bool(cookie.secure and cookie.secure.value),
        httponly=bool(cookie.http_only and cookie.http_only.value),
        samesite=_SAME_SITE.get(cookie.same_site),
    )
