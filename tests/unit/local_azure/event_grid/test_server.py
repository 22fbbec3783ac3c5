"""The Event Grid as its publishers, administrators and subscribers see it, over ASGI and on a clock of the test's."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from pytest_mock import MockerFixture

from local_azure.event_grid.subscription_delivery import RETRY_SCHEDULE
from tests.unit.local_azure.event_grid.grid import (
    BATCH,
    CLOUD,
    CLOUD_EVENT,
    DEAD_LETTER,
    EVENT,
    HOOK,
    JSON,
    Grid,
    queue,
    webhook,
)


@pytest.fixture
def make(tmp_path: Path, mocker: MockerFixture) -> Iterator[Callable[..., Grid]]:
    made: list[Grid] = []

    def make(subscription: dict[str, Any] | None = None, **faults: object) -> Grid:
        topics = {
            "storage": {"eventSubscriptions": {"data": subscription or queue()}},
            "kedja": {"inputSchema": "CloudEventSchemaV1_0"},
        }
        made.append(Grid(tmp_path, mocker, {"topics": topics, "faults": faults}))
        return made[-1]

    yield make
    for grid in made:
        grid.parts.store.close()


Make = Callable[..., Grid]


def test_each_event_becomes_one_message_that_never_expires(make: Make) -> None:
    grid = make()
    assert grid.publish([EVENT, EVENT | {"id": "2"}]).status_code == 200
    grid.deliver()
    assert grid.messages == [EVENT, EVENT | {"id": "2"}]
    client = grid.sent.call_args.args[0]
    assert client.queue_name == "blob-events"
    assert type(client._message_encode_policy).__name__ == "TextBase64EncodePolicy"
    assert grid.sent.call_args.kwargs == {"time_to_live": -1}
    assert grid.counts() == {"delivered": 2}
    grid.deliver(after=100)
    assert len(grid.messages) == 2


def test_one_event_alone_is_taken_too(make: Make) -> None:
    grid = make()
    assert grid.publish(EVENT).status_code == 200
    grid.deliver()
    assert grid.messages == [EVENT]


def test_an_event_that_no_filter_wants_goes_nowhere(make: Make) -> None:
    grid = make(queue(filter={"includedEventTypes": ["Microsoft.Storage.BlobDeleted"]}))
    assert grid.publish(EVENT).status_code == 200
    grid.deliver()
    assert grid.counts() == {}
    assert not grid.sent.called


@pytest.mark.parametrize(
    ("topic", "content_type", "document", "status", "problem"),
    [
        ("storage", JSON, {"id": "1"}, 400, "subject"),
        ("storage", BATCH, [CLOUD_EVENT], 400, "EventGridSchema"),
        ("kedja", JSON, [EVENT], 400, "CloudEventSchemaV1_0"),
        ("nowhere", JSON, [EVENT], 404, "storage, kedja"),
        ("storage", JSON, [EVENT | {"data": "x" * 1024 * 1024}], 413, "1048576"),
    ],
)
def test_what_a_topic_does_not_take_is_refused(
    make: Make, topic: str, content_type: str, document: object, status: int, problem: str
) -> None:
    grid = make()
    answer = grid.publish(document, topic, content_type)
    assert answer.status_code == status
    assert problem in answer.json()["error"]["message"]
    assert grid.counts() == {}


def test_one_wrong_event_refuses_all_of_the_request(make: Make) -> None:
    grid = make()
    assert grid.publish([EVENT, {}]).status_code == 400
    grid.deliver()
    assert not grid.sent.called


def test_without_the_key_nothing_is_published(make: Make) -> None:
    grid = make()
    answer = grid.request("POST", "/topics/storage/api/events", json=[EVENT])
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "Unauthorized"


def test_a_failed_delivery_follows_the_schedule(make: Make) -> None:
    grid = make()
    grid.sent.side_effect = ServiceRequestError("refused")
    grid.publish(EVENT)
    grid.deliver()
    for made, pause in enumerate(RETRY_SCHEDULE, start=1):
        grid.deliver(after=pause - 1)
        assert grid.sent.call_count == made
        grid.deliver(after=1)
        assert grid.sent.call_count == made + 1
    grid.sent.side_effect = None
    grid.deliver(after=12 * 3600)
    assert grid.counts() == {"delivered": 1, "failed": 10}


def test_a_queue_that_is_missing_is_tried_again(make: Make) -> None:
    grid = make()
    grid.sent.side_effect = refused(404)
    grid.publish(EVENT)
    grid.deliver()
    grid.sent.side_effect = None
    grid.deliver(after=10)
    assert grid.counts() == {"delivered": 1, "failed": 1}


def refused(status: int) -> HttpResponseError:
    error = HttpResponseError(f"answer {status}")
    error.status_code = status
    return error


def test_a_message_that_is_too_large_is_a_dead_letter_at_once(make: Make) -> None:
    grid = make(queue(deadLetterDestination=DEAD_LETTER))
    grid.sent.side_effect = refused(413)
    grid.publish(EVENT)
    grid.deliver()
    assert grid.counts() == {"failed": 1, "dead_lettered": 1}
    client, content = grid.dead.call_args.args
    assert client.container_name == "dead-letter"
    assert client.blob_name.startswith("storage/DATA/2026/3/4/5/")
    assert client.blob_name.endswith(".json")
    assert json.loads(content) == [
        {
            **EVENT,
            "deadLetterReason": "UndeliverableDueToHttpRequestEntityTooLarge",
            "deliveryAttempts": 1,
            "lastDeliveryOutcome": "RequestEntityTooLarge",
            "publishTime": "2026-03-04T05:06:07Z",
            "lastDeliveryAttemptTime": "2026-03-04T05:06:07Z",
        }
    ]


def test_the_last_attempt_and_the_end_of_life_make_dead_letters(make: Make) -> None:
    grid = make(queue(deadLetterDestination=DEAD_LETTER, retryPolicy={"maxDeliveryAttempts": 2}))
    grid.sent.side_effect = ServiceRequestError("refused")
    grid.publish(EVENT)
    grid.deliver()
    grid.deliver(after=10)
    grid.publish(EVENT)
    grid.deliver(after=24 * 3600)
    reasons = [json.loads(call.args[1])[0]["deadLetterReason"] for call in grid.dead.call_args_list]
    assert reasons == ["MaxDeliveryAttemptsExceeded", "TimeToLiveExceeded"]
    assert grid.counts() == {"failed": 2, "dead_lettered": 2}


def test_a_dead_letter_waits_for_its_container_and_not_for_ever(make: Make) -> None:
    grid = make(queue(deadLetterDestination=DEAD_LETTER))
    grid.sent.side_effect, grid.dead.side_effect = refused(400), refused(404)
    grid.publish([EVENT, EVENT])
    grid.deliver()
    assert grid.counts() == {"failed": 2, "pending": 2}
    grid.dead.side_effect = [None, refused(404)]
    grid.deliver(after=60)
    assert grid.counts() == {"failed": 2, "pending": 1, "dead_lettered": 1}
    grid.dead.side_effect = refused(404)
    grid.deliver(after=4 * 3600)
    assert grid.counts() == {"failed": 2, "dead_lettered": 1, "dropped": 1}


def test_without_dead_letters_what_cannot_be_delivered_is_dropped(make: Make) -> None:
    grid = make()
    grid.sent.side_effect = refused(400)
    grid.publish(EVENT)
    grid.deliver()
    assert grid.counts() == {"failed": 1, "dropped": 1}


def test_what_is_pending_survives_a_restart(make: Make) -> None:
    grid = make()
    grid.sent.side_effect = ServiceRequestError("refused")
    grid.publish(EVENT)
    grid.deliver()
    grid.restart()
    grid.sent.side_effect = None
    grid.deliver(after=10)
    assert grid.messages[-1] == EVENT
    assert grid.counts() == {"delivered": 1, "failed": 1}


def test_a_webhook_gets_an_array_of_one_after_its_handshake(make: Make) -> None:
    grid = make(webhook())
    grid.publish([EVENT, EVENT])
    grid.deliver()
    assert grid.hook.handshakes == ["DATA"]
    assert [body for _, body in grid.hook.received] == [[EVENT], [EVENT]]
    headers = grid.hook.received[0][0]
    assert headers["aeg-event-type"] == "Notification"
    assert headers["aeg-subscription-name"] == "DATA"
    assert headers["aeg-delivery-count"] == "0"
    assert headers["content-type"] == "application/json; charset=utf-8"


def test_a_webhook_can_take_batches(make: Make) -> None:
    grid = make(webhook(batch=2))
    grid.publish([EVENT, EVENT, EVENT])
    grid.deliver()
    assert sorted(len(body) for _, body in grid.hook.received) == [1, 2]


@pytest.mark.parametrize(("batch", "content_type", "is_array"), [(1, CLOUD, False), (5, BATCH, True)])
def test_a_webhook_can_ask_for_cloud_events(make: Make, batch: int, content_type: str, is_array: bool) -> None:  # noqa: FBT001 - a table's column
    grid = make(webhook(eventDeliverySchema="CloudEventSchemaV1_0", batch=batch))
    grid.publish(EVENT)
    grid.deliver()
    assert grid.hook.handshakes == ["eventgrid.azure.net"]
    headers, body = grid.hook.received[0]
    assert headers["content-type"] == f"{content_type}; charset=utf-8"
    assert isinstance(body, list) is is_array
    assert (body[0] if is_array else body)["source"] == EVENT["topic"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_some_answers_of_a_webhook_are_final(make: Make, status: int) -> None:
    grid = make(webhook(deadLetterDestination=DEAD_LETTER))
    grid.hook.status = status
    grid.publish(EVENT)
    grid.deliver()
    assert grid.counts() == {"failed": 1, "dead_lettered": 1}


@pytest.mark.parametrize("status", [205, 302, 409, 429, 500, 503])
def test_other_answers_are_tried_again_and_counted_in_the_header(make: Make, status: int) -> None:
    grid = make(webhook())
    grid.hook.status = status
    grid.publish(EVENT)
    grid.deliver()
    grid.hook.status = 202
    grid.deliver(after=10)
    assert [headers["aeg-delivery-count"] for headers, _ in grid.hook.received] == ["0", "1"]
    assert grid.counts() == {"delivered": 1, "failed": 1}


def test_an_unwilling_webhook_gets_nothing_until_it_is_willing(make: Make) -> None:
    grid = make(webhook())
    grid.hook.unwilling = True
    grid.publish(EVENT)
    grid.deliver()
    assert not grid.hook.received
    grid.hook.unwilling = False
    grid.deliver(after=10)
    assert len(grid.hook.received) == 1


def test_a_subscription_is_made_at_run_time_and_kept(make: Make) -> None:
    grid = make()
    answer = grid.request("PUT", "/topics/kedja/subscriptions/mine", json=webhook())
    assert (answer.status_code, answer.json()["name"]) == (201, "mine")
    grid.restart()
    assert grid.publish([CLOUD_EVENT], "kedja", BATCH).status_code == 200
    grid.deliver("kedja/mine")
    assert grid.hook.received[0][1] == CLOUD_EVENT
    (listed,) = grid.request("GET", "/topics/kedja/subscriptions").json()
    assert listed["name"] == "mine"
    assert listed["deliveries"]["delivered"] == 1
    assert listed["destination"]["properties"]["endpointUrl"] == HOOK


def test_a_subscription_that_is_removed_gets_no_more(make: Make) -> None:
    grid = make()
    grid.request("PUT", "/topics/kedja/subscriptions/mine", json=webhook())
    grid.publish(CLOUD_EVENT, "kedja", CLOUD)
    assert grid.request("DELETE", "/topics/kedja/subscriptions/mine").status_code == 204
    grid.deliver("kedja/mine")
    assert not grid.hook.received
    assert grid.request("GET", "/topics/kedja/subscriptions").json() == []
    assert grid.request("DELETE", "/topics/kedja/subscriptions/mine").status_code == 404


@pytest.mark.parametrize("topic", ["storage", "kedja"])
def test_an_endpoint_that_fails_the_handshake_is_no_subscription(make: Make, topic: str) -> None:
    grid = make()
    grid.hook.unwilling = True
    answer = grid.request("PUT", f"/topics/{topic}/subscriptions/mine", json=webhook())
    assert answer.status_code == 400
    assert HOOK in answer.json()["error"]["message"]
    assert all(one["name"] != "mine" for one in grid.request("GET", f"/topics/{topic}/subscriptions").json())


def test_a_wrong_subscription_is_refused_with_the_place(make: Make) -> None:
    answer = make().request("PUT", "/topics/kedja/subscriptions/mine", json={"destination": {"endpointType": "Fax"}})
    assert answer.status_code == 400
    assert "endpointType" in answer.json()["error"]["message"]


def test_faults_come_from_the_file_and_can_be_changed(make: Make) -> None:
    grid = make(None, all={"duplicate": 3})
    grid.publish(EVENT)
    grid.deliver()
    assert grid.messages == [EVENT] * 3
    plan = {"all": {"drop": {"eventTypes": ["Microsoft.Storage.BlobCreated"]}}}
    assert grid.request("PUT", "/faults", json=plan).status_code == 200
    assert grid.request("GET", "/faults").json()["all"]["drop"]["probability"] == 1
    grid.publish(EVENT)
    grid.deliver()
    assert grid.counts() == {"delivered": 3, "dropped": 1}
    assert grid.request("PUT", "/faults", json={"all": {"duplicate": 0}}).status_code == 400


def test_a_delayed_event_waits(make: Make) -> None:
    grid = make(None, all={"delay": 5})
    grid.publish(EVENT)
    grid.deliver(after=4)
    assert not grid.sent.called
    grid.deliver(after=1)
    assert grid.messages == [EVENT]


def test_reordered_events_all_arrive(make: Make) -> None:
    grid = make(None, all={"reorder": 10, "duplicate": 2}, seed=5)
    events = [EVENT | {"id": str(number)} for number in range(20)]
    grid.publish(events)
    for _ in range(11):
        grid.deliver(after=1)
    ids = [int(message["id"]) for message in grid.messages]
    assert sorted(ids) == sorted([*range(20)] * 2)
    assert ids != sorted(ids)


def test_the_background_work_delivers_what_is_due_and_goes_on_after_a_fault(make: Make, mocker: MockerFixture) -> None:
    grid = make()
    grid.sent.side_effect = [RuntimeError("a fault of ours"), None]
    grid.publish(EVENT)

    async def work() -> None:
        running = asyncio.create_task(grid.parts.delivery.run())
        async with asyncio.timeout(5):
            while grid.counts() != {"delivered": 1}:  # noqa: ASYNC110 - the store has no event to wait for
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await grid.parts.delivery.close()

    asyncio.run(work())
    assert grid.sent.call_count == 2


def test_topics_and_health_can_be_looked_at(make: Make) -> None:
    grid = make()
    assert grid.request("GET", "/topics").json() == ["storage", "kedja"]
    assert grid.request("GET", "/health").json() == {"status": "healthy"}
