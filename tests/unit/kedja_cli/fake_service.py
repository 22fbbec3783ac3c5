"""The service as the command sees it: answers by route, held by a test, behind httpx's own mock transport."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from attrs import define, field

type Answer = httpx.Response | Callable[[httpx.Request], httpx.Response] | Sequence["Answer"] | dict[str, Any]


def problem(status: int, detail: str, what_to_do: str | None = None, **more: object) -> httpx.Response:
    body = {"type": "urn:kedja:problem:x", "title": "No.", "status": status, "detail": detail, **more}
    if what_to_do:
        body["what_to_do"] = what_to_do
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


def live(*events: tuple[str, str | None, object]) -> httpx.Response:
    """Return a live answer with (name, id, data) of each event."""
    parts = ["retry: 0\n\n"]
    for name, identity, data in events:
        parts.append(f"event: {name}\n" + (f"id: {identity}\n" if identity else "") + f"data: {json.dumps(data)}\n\n")
    return httpx.Response(200, text="".join(parts), headers={"content-type": "text/event-stream"})


@define
class FakeService:
    """Answers `METHOD /path` with what a test says; a list is answered one after the other, the last one for good."""

    routes: dict[str, Answer] = field(factory=dict)
    requests: list[httpx.Request] = field(factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        name = f"{request.method} {request.url.path}"
        answer = self.routes.get(name)
        if answer is None:
            return problem(404, f"There is no {name}.")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer) and not isinstance(answer, httpx.Response):
            answer = answer(request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def sent(self, name: str) -> list[Any]:
        """Return the bodies that came to a route."""
        return [json.loads(one.content or b"null") for one in self.requests if f"{one.method} {one.url.path}" == name]
