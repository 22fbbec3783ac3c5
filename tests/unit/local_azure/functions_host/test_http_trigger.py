import asyncio
from collections.abc import Mapping
from unittest.mock import MagicMock

import httpx
import pytest
from pytest_mock import MockerFixture

from local_azure.functions_host.http_trigger import HttpDispatcher, HttpTrigger
from local_azure.functions_host.rpc_messages import NullableString, RpcHttp, RpcHttpCookie, Timestamp, TypedData
from local_azure.functions_host.worker import Function, Invocation, Worker


def http_function(name: str, route: str | None = None, methods: list[str] | None = None) -> Function:
    trigger = {"type": "httpTrigger", "name": "req", "route": route, "methods": methods}
    given = {key: value for key, value in trigger.items() if value is not None}
    return Function(name=name, id=name, bindings=(given, {"type": "http", "name": "$return", "direction": "OUT"}))


def succeeded(value: TypedData | None) -> Invocation:
    return Invocation(id="1", succeeded=True, return_value=value)


def http_answer(status: int = 200, body: bytes = b"", **fields: object) -> Invocation:
    parts: dict[str, object] = {"headers": {}, "cookies": None, **fields}
    return succeeded(TypedData(http=RpcHttp(status_code=str(status), body=TypedData(bytes=body), **parts)))


@pytest.fixture
def worker(mocker: MockerFixture) -> MagicMock:
    made: MagicMock = mocker.create_autospec(Worker, instance=True)
    made.invoke.return_value = http_answer()
    return made


def ask(
    worker: MagicMock,
    *functions: Function,
    method: str = "GET",
    url: str = "/",
    prefix: str = "",
    homepage: bool = False,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    content: bytes = b"",
) -> httpx.Response:
    front = HttpDispatcher(worker, [HttpTrigger.of(item, prefix) for item in functions], homepage=homepage)

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=front)
        async with httpx.AsyncClient(transport=transport, base_url="http://local:7071") as client:
            return await client.request(method, url, headers=headers, content=content)

    return asyncio.run(run())


def sent(worker: MagicMock) -> RpcHttp:
    name, data = worker.invoke.call_args.args
    assert name == "f"
    http: RpcHttp = data.http
    return http


def test_a_request_reaches_the_function_as_the_host_sends_it(worker: MagicMock) -> None:
    headers = [("X-Tag", "a"), ("X-Tag", "b"), ("Cookie", "c=1"), ("traceparent", "00-1-2-01")]
    url = "/hello/b%20ob?x=1&x=2&empty="
    ask(worker, http_function("f", "hello/{name}"), method="POST", url=url, headers=headers, content=b"\x00\xff")
    http = sent(worker)
    assert (http.method, http.url) == ("POST", "http://local:7071/hello/b%20ob?x=1&x=2&empty=")
    assert http.params == {"name": "b ob"}
    assert http.query == {"x": "1,2"}
    assert (http.headers["x-tag"], http.headers["cookie"]) == ("a,b", "c=1")
    assert http.body == TypedData(bytes=b"\x00\xff")
    assert worker.invoke.call_args.kwargs == {"trace_parent": "00-1-2-01"}


def test_no_body_is_no_value(worker: MagicMock) -> None:
    ask(worker, http_function("f", ""))
    assert sent(worker).body.WhichOneof("data") is None


def test_status_headers_and_bytes_come_back(worker: MagicMock) -> None:
    worker.invoke.return_value = http_answer(201, b"\xff\x00", headers={"content-type": "x/y", "Content-Length": "9"})
    answer = ask(worker, http_function("f", ""))
    assert (answer.status_code, answer.content) == (201, b"\xff\x00")
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("x/y", "2")


def test_the_answer_to_head_keeps_the_length_of_the_body_it_leaves_out(worker: MagicMock) -> None:
    worker.invoke.return_value = http_answer(200, b"", headers={"content-length": "9"})
    assert ask(worker, http_function("f", ""), method="HEAD").headers["content-length"] == "9"


def test_cookies_come_back_with_their_attributes(worker: MagicMock) -> None:
    none = dict.fromkeys(("domain", "path", "expires", "secure", "http_only", "max_age"))
    plain = RpcHttpCookie(name="a", value="1", same_site=0, **none)
    rich = RpcHttpCookie(name="b", value="2", same_site=RpcHttpCookie.SameSite.Strict, **none)
    rich.path, rich.expires = NullableString(value="/x"), NullableString(value=Timestamp(seconds=0))
    rich.http_only, rich.max_age = NullableString(value=True), NullableString(value=60.0)
    worker.invoke.return_value = http_answer(cookies=[plain, rich])
    assert ask(worker, http_function("f", "")).headers.get_list("set-cookie") == [
        "a=1",
        "b=2; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=60; Path=/x; SameSite=strict",
    ]


@pytest.mark.parametrize(
    ("value", "status", "content_type"),
    [
        (None, 204, None),
        (TypedData(), 204, None),
        (TypedData(string="hi"), 200, "text/plain; charset=utf-8"),
        (TypedData(json="{}"), 200, "application/json"),
    ],
)
def test_values_that_are_no_response_become_one(
    worker: MagicMock, value: TypedData | None, status: int, content_type: str | None
) -> None:
    worker.invoke.return_value = succeeded(value)
    answer = ask(worker, http_function("f", ""))
    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)


def test_a_failure_is_500_and_says_nothing(worker: MagicMock) -> None:
    worker.invoke.return_value = Invocation(id="1", succeeded=False, message="secret", stack="secret")
    answer = ask(worker, http_function("f", ""))
    assert (answer.status_code, answer.content) == (500, b"")


def test_the_method_chooses_between_functions_of_one_route(worker: MagicMock) -> None:
    functions = http_function("g", "x", ["GET"]), http_function("f", "x", ["POST", "OPTIONS"])
    ask(worker, *functions, method="OPTIONS", url="/x")
    assert sent(worker).method == "OPTIONS"
    assert ask(worker, *functions, method="PUT", url="/x").status_code == 404


def test_the_prefix_of_host_json_goes_before_the_route_and_the_name_stands_in_for_it(worker: MagicMock) -> None:
    assert ask(worker, http_function("f"), url="/f", prefix="api").status_code == 404
    assert ask(worker, http_function("f"), url="/api/F", prefix="api").status_code == 200


def test_the_homepage_hides_a_function_at_the_root(worker: MagicMock) -> None:
    assert "up and running" in ask(worker, http_function("f", "/{*route}"), homepage=True).text
    worker.invoke.assert_not_called()
    ask(worker, http_function("f", "/{*route}"), homepage=False)
    worker.invoke.assert_called_once()
