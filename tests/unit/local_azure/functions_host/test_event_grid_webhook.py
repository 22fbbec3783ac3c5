import asyncio
import json
from collections.abc import Mapping
from unittest.mock import MagicMock

import httpx
import pytest
from pytest_mock import MockerFixture
from starlette.applications import Starlette
from starlette.routing import Route

from local_azure.functions_host.event_grid_webhook import EventGridWebhook
from local_azure.functions_host.worker import Function, Invocation, Worker

NOTIFICATION = {"aeg-event-type": "Notification"}
VALIDATION = {"aeg-event-type": "SubscriptionValidation"}


@pytest.fixture
def worker(mocker: MockerFixture) -> MagicMock:
    made: MagicMock = mocker.create_autospec(Worker, instance=True)
    made.functions = (
        Function(name="receive", id="1", bindings=({"type": "eventGridTrigger", "name": "event"},)),
        Function(name="tick", id="2", bindings=({"type": "timerTrigger", "name": "timer"},)),
    )
    made.invoke.return_value = Invocation(id="1", succeeded=True)
    return made


def ask(
    worker: MagicMock,
    body: object = None,
    headers: Mapping[str, str] = NOTIFICATION,
    method: str = "POST",
    function: str = "receive",
) -> httpx.Response:
    route = Route("/runtime/webhooks/EventGrid", EventGridWebhook(worker).answer, methods=["POST", "OPTIONS"])

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=Starlette(routes=[route]))
        async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            url = f"/runtime/webhooks/EventGrid?functionName={function}&code=x"
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.request(method, url, headers=headers, content=content)

    return asyncio.run(run())


@pytest.mark.parametrize("body", [[{"id": "1"}, {"id": "2"}], {"id": "1"}])
def test_each_event_is_one_invocation(worker: MagicMock, body: object) -> None:
    answer = ask(worker, body)
    events = body if isinstance(body, list) else [body]
    assert answer.status_code == 202
    assert [json.loads(call.args[1].json) for call in worker.invoke.call_args_list] == events
    assert {call.args[0] for call in worker.invoke.call_args_list} == {"receive"}


def test_one_failure_fails_the_whole_batch_after_all_have_run(worker: MagicMock) -> None:
    worker.invoke.side_effect = [
        Invocation(id="1", succeeded=False, message="ValueError: bad"),
        Invocation(id="2", succeeded=True),
    ]
    answer = ask(worker, [{"id": "1"}, {"id": "2"}])
    assert (answer.status_code, answer.text) == (500, "ValueError: bad")
    assert worker.invoke.call_count == 2


@pytest.mark.parametrize(
    "body",
    [[{"data": {"validationCode": "C"}}], {"data": {"validationCode": "C"}}, {"data": '{"validationCode": "C"}'}],
)
def test_the_handshake_of_the_event_grid_schema(worker: MagicMock, body: object) -> None:
    answer = ask(worker, body, VALIDATION)
    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "C"})
    worker.invoke.assert_not_called()


def test_the_handshake_of_cloud_events(worker: MagicMock) -> None:
    answer = ask(worker, b"", {"WebHook-Request-Origin": "eventgrid.azure.net"}, "OPTIONS")
    assert (answer.status_code, answer.headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")
    assert ask(worker, b"", {}, "OPTIONS").status_code == 400


@pytest.mark.parametrize("function", ["nobody", "tick", ""])
def test_what_is_no_event_grid_function_is_not_found(worker: MagicMock, function: str) -> None:
    assert ask(worker, {}, function=function).status_code == 404


def test_a_goodbye_is_accepted(worker: MagicMock) -> None:
    assert ask(worker, b"", {"aeg-event-type": "Unsubscribe"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {}),
        ({}, {"aeg-event-type": "Other"}),
        (b"no json", NOTIFICATION),
        ([1], NOTIFICATION),
        ("text", NOTIFICATION),
        ([], VALIDATION),
        ({"data": {}}, VALIDATION),
        ({"data": 7}, VALIDATION),
    ],
)
def test_the_rest_is_refused(worker: MagicMock, body: object, headers: Mapping[str, str]) -> None:
    assert ask(worker, body, headers).status_code == 400
    worker.invoke.assert_not_called()
