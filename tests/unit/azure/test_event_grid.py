"""What goes to Event Grid: as many events in a request as it takes, and one that it refuses keeps no other back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient
from pytest_mock import MockerFixture

from function_app.azure.event_grid import LARGEST_BATCH, EventGridPublisher
from function_app.domain.cloud_events import EventsRejected, EventType, OutgoingEvent, PublishingFailed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Topic:
    """Takes requests, or refuses those that hold an event that it does not like."""

    def __init__(self, mocker: MockerFixture, refused: dict[str, int | None] | None = None) -> None:
        self.taken: list[list[str]] = []
        self.sizes: list[int] = []
        self.refused = refused or {}
        client = mocker.create_autospec(EventGridPublisherClient, instance=True)
        client.send.side_effect = self._send
        self.publisher = EventGridPublisher(client, "https://kedja.test")

    def _send(self, events: Sequence[CloudEvent[Any]]) -> None:
        for event in events:
            if (status := self.refused.get(event.id, 0)) != 0:
                error = HttpResponseError("It is refused.")
                error.status_code = status
                raise error if status else ServiceRequestError("Connection refused")
        self.taken.append([event.id for event in events])
        self.sizes.append(sum(len(json.dumps({**vars(event), "time": str(event.time)})) for event in events))


def event(name: str, size: int = 10) -> OutgoingEvent:
    data = {"text": "x" * size}
    return OutgoingEvent(id=name, type=EventType.JOB_FAILED, source="/r", subject="s", time=NOW, data=data)


def test_events_go_together_in_their_order(mocker: MockerFixture) -> None:
    topic = Topic(mocker)
    topic.publisher.publish([event("1"), event("2")])
    assert topic.taken == [["1", "2"]]


def test_no_request_is_longer_than_the_topic_takes(mocker: MockerFixture) -> None:
    topic = Topic(mocker)
    topic.publisher.publish([event(str(number), LARGEST_BATCH // 3) for number in range(7)])
    assert topic.taken == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
    assert max(topic.sizes) <= LARGEST_BATCH


def test_an_event_that_is_longer_comes_alone(mocker: MockerFixture) -> None:
    topic = Topic(mocker)
    topic.publisher.publish([event("1"), event("2", LARGEST_BATCH), event("3")])
    assert topic.taken == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize("status", [HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE])
def test_one_that_is_refused_keeps_no_other_back(mocker: MockerFixture, status: HTTPStatus) -> None:
    topic = Topic(mocker, {"2": status})
    with pytest.raises(EventsRejected, match="refuses these events: 2") as caught:
        topic.publisher.publish([event("1"), event("2"), event("3"), event("4", LARGEST_BATCH)])
    assert [one.id for one in caught.value.refused] == ["2"]
    assert topic.taken == [["1"], ["3"], ["4"]]


@pytest.mark.parametrize(
    "status", [None, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE]
)
def test_a_topic_that_fails_refuses_none(mocker: MockerFixture, status: HTTPStatus | None) -> None:
    topic = Topic(mocker, {"1": status})
    with pytest.raises(PublishingFailed):
        topic.publisher.publish([event("1"), event("2")])


def test_a_topic_that_fails_after_a_refusal_has_all_sent_again(mocker: MockerFixture) -> None:
    topic = Topic(mocker, {"1": HTTPStatus.BAD_REQUEST, "2": HTTPStatus.SERVICE_UNAVAILABLE})
    with pytest.raises(PublishingFailed):
        topic.publisher.publish([event("1"), event("2")])
