"""A client of an ASGI app in this process, without a socket."""

import asyncio
from typing import Any

import httpx
from attrs import field, frozen
from starlette.types import ASGIApp

Headers = dict[str, str]


@frozen
class Client:
    """Sends requests to an app, each in an event loop of its own."""

    app: ASGIApp
    headers: Headers = field(factory=Headers)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - those of httpx
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        options["headers"] = {**self.headers, **options.get("headers", {})}
        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as request
        return self.request("POST", path, **options)

    def get_json(self, path: str, **options: Any) -> Any:  # noqa: ANN401 - as request, and JSON
        answer = self.get(path, **options)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()
