"""The HTTP API: whatever is sent to any route, the answer is one that the route's description has, and never a 500."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from attrs import define, field, frozen
from fastapi import FastAPI
from hypothesis import strategies as st

from function_app.http.api import create_api
from tests.fuzz import inputs
from tests.fuzz.budget import BATCH, fuzz, tried
from tests.fuzz.examples import EVENTS, VALUES
from tests.unit.api import LOCAL
from tests.unit.simulation import World, blob_created

KIND = "HTTP requests"
ANY_ROUTE = {400, 401, 403, 404, 405, 413, 422}
"""What the edge, the framework or the check of a caller may answer anywhere."""
TRANSIENT = {502, 503}
SLOWEST = 15.0
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE", "BREW")

OBJECTS: Sequence[Any] = [
    {"experiment_name": "digits", "kedja": {"arguments": {"epochs": 2}}},
    {"experiment_name": "digits", "command": "python train.py"},
    {"reason": "maintenance"},
    {"files": [{"container": "data", "name": "a.npz", "size": 3, "md5": "rL0Y20zC+Fzt72VPzMSk2A=="}]},
    {"version": "1", "reason": "it is better"},
    {"ids": ["blob-events/1"], "all": True},
    {"digest": "0" * 64, "note": "looks well"},
    {"size": "Standard_NC6s_v3", "max_nodes": 2},
    blob_created("data/digits/a.npz"),
    *VALUES[:5],
    *EVENTS,
]
HEADERS = {
    "content-type": [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "text/x",
    ],
    "range": ["bytes=0-", "bytes=-5", "bytes=5-1", "bytes=99999999999999999999-", "lines=1-2"],
    "if-none-match": ["*", '"0x1"', 'W/"a", "b"', "x"],
    "if-match": ["*", '"0x1"'],
    "idempotency-key": ["a", '"a"', "a" * 300, "", "é"],
    "last-event-id": ["0", "-1", "x", "9" * 30],
    "aeg-event-type": ["Notification", "SubscriptionValidation", "SubscriptionDeletion", "x"],
    "webhook-request-origin": ["eventgrid.azure.net", "*", ""],
    "ce-specversion": ["1.0", "0.3"],
    "ce-type": ["Microsoft.Storage.BlobCreated"],
    "ce-id": ["1", "%ff"],
    "ce-source": ["/x"],
    "accept": ["text/event-stream", "*/*", "x"],
    "authorization": ["Bearer kedja_x_y", "Bearer", "Basic !!!"],
    "x-kedja-key": ["kedja_abc_def", "kedja__", "../x"],
    "x-ms-client-principal": ["e30=", "!!!", "bnVsbA=="],
    "content-length": ["99999999999", "-1", "x"],
}
QUERIES = [
    "limit",
    "after",
    "experiment",
    "status",
    "dry_run",
    "force",
    "deep",
    "offset",
    "key",
    "id",
    "container",
    "x",
]
QUERY_VALUES = [
    "1",
    "0",
    "-1",
    "200",
    "201",
    "9" * 30,
    "true",
    "x",
    "digits",
    "registered",
    "latest",
    "bnVsbA==",
    "WzEsMl0=",
]


@frozen(kw_only=True)
class Sent:
    """A request."""

    method: str
    path: str
    route: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@define
class Api:
    """The API over a world in which something happened, made anew now and then."""

    world: World = field(factory=World.make)
    app: FastAPI = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.app = create_api(lambda: self.world.kedja, LOCAL)

    def fresh(self) -> None:
        self.world = World.make()
        self.world.drop_digits()
        self.world.drop("data/waits/notes.txt", b"no known format")
        self.world.rest()
        self.world.run_job(metrics={"accuracy": 0.97})
        self.world.clock.advance(60)
        self.world.drop("data/digits/digits.npz", b"others")
        self.world.drop("scripts/wrong/job.yaml", b"comand: x")
        self.world.rest()

    def names(self) -> list[str]:
        found = [receipt for folder in ("digits", "waits", "wrong") for receipt in self.world.receipts(folder)]
        return [
            *(receipt.experiment for receipt in found),
            *(receipt.drop for receipt in found),
            *(receipt.job for receipt in found if receipt.job),
        ]

    def send(self, sent: Sent) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                url = f"{sent.path}?{sent.query}" if sent.query else sent.path
                headers = [(name.encode(), value.encode("utf-8", "replace")) for name, value in sent.headers.items()]
                request = client.build_request(sent.method, url, content=sent.body, headers=headers)
                return await asyncio.wait_for(client.send(request), SLOWEST)

        return asyncio.run(go())


API = Api()
SCHEMA = API.app.openapi()
ROUTES: list[tuple[str, str]] = [
    (method.upper(), path) for path, operations in SCHEMA["paths"].items() for method in operations
]
API.fresh()
KNOWN = [*API.names(), "digits", "waits", "latest", "champion", "1", "gpu-cluster", "nothing"]


def parts(route: str) -> st.SearchStrategy[str]:
    """Return paths of a route, with names that exist, names that could, and anything."""
    names = st.one_of(st.sampled_from(KNOWN), st.sampled_from(KNOWN), inputs.texts)
    count = len(re.findall(r"\{.*?\}", route))
    return st.lists(names, min_size=count, max_size=count).map(lambda values: _filled(route, values))


def _filled(route: str, values: Sequence[str]) -> str:
    left = iter(values)
    return re.sub(r"\{.*?\}", lambda _: quote(next(left).encode("utf-8", "replace"), safe=""), route)


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method, route = draw(st.sampled_from(ROUTES))
    if draw(st.integers(0, 9)) == 0:
        method = draw(st.sampled_from(METHODS))
    declared = [one["name"] for one in SCHEMA["paths"][route].get(method.lower(), {}).get("parameters", [])]
    names = st.sampled_from([*(name for name in declared if name.isidentifier()), *QUERIES])
    query = draw(st.dictionaries(names, st.one_of(st.sampled_from([*QUERY_VALUES, *KNOWN]), inputs.texts), max_size=3))
    if route.endswith("/live"):
        query["wait"] = draw(st.sampled_from(["0", "0", "0", "-1", "x", "21"]))  # whoever wants to wait, waits
    headers = {
        name: draw(st.one_of(st.sampled_from(values), inputs.texts.map(_header)))
        for name, values in draw(st.lists(st.sampled_from(sorted(HEADERS.items())), max_size=4))
    }
    body = draw(st.one_of(st.just(b""), inputs.bodies(inputs.mutated(OBJECTS))))
    if draw(st.booleans()) and body:
        headers.setdefault("content-type", "application/json")
    return Sent(
        method=method,
        route=route,
        path=draw(parts(route)),
        query=urlencode({name: value.encode("utf-8", "replace") for name, value in query.items()}),
        headers=headers,
        body=body,
    )


def _header(text: str) -> str:
    """Return a text as a server lets it through in a header."""
    return re.sub(r"[\x00-\x1f\x7f]", "", text.encode("utf-8", "replace").decode())[:500].strip()


def test_http() -> None:
    def check(sent: Sent) -> None:
        if tried[KIND] % BATCH == 1:
            API.fresh()
        answer = API.send(sent)
        _check(sent, answer)
        API.world.queues.messages.clear()

    fuzz(KIND, requests(), check)


def _check(sent: Sent, answer: httpx.Response) -> None:
    code = answer.status_code
    assert code not in (500, 501), f"{sent}: {answer.text}"
    operation = SCHEMA["paths"][sent.route].get(sent.method.lower())
    if operation is not None and _is_of(sent):
        documented = {int(status) for status in map(str, operation["responses"]) if status.isdigit()}
        assert code in documented | ANY_ROUTE | TRANSIENT, f"{sent} is answered by {code}, which is not described."
    if code >= HTTPStatus.BAD_REQUEST and sent.method != "HEAD":
        assert answer.headers["content-type"].startswith(("application/problem+json", "application/json")), sent
        told = json.loads(answer.content)
        assert told.get("status") == code or "checks" in told, f"{sent}: {told}"
        assert len(answer.content) < 1 << 20


def _is_of(sent: Sent) -> bool:
    """Return whether the path leads to this route: a part that is empty or has a slash may lead elsewhere."""
    pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(sent.route))
    return re.fullmatch(pattern, sent.path) is not None and "%2F" not in sent.path
