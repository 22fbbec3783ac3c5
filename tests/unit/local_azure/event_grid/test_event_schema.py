import json
from pathlib import Path
from typing import Any

import pytest

from local_azure.event_grid.event_schema import EventSchema, InvalidEvents, in_schema, read_events, subject_of, type_of

EVENTS = Path(__file__).parents[3] / "events"
JSON, CLOUD, BATCH = "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


def read(document: object, content_type: str = JSON, schema: EventSchema = EventSchema.EVENT_GRID) -> list[Any]:
    return read_events(json.dumps(document).encode(), content_type, schema, "/topics/t")


@pytest.mark.parametrize("name", ["blob_created.json", "run_completed.json", "run_status_changed.json"])
def test_recorded_events_are_taken_as_they_are_alone_or_in_an_array(name: str) -> None:
    event = recorded(name)
    assert read(event) == [event]
    assert read([event, event], "application/json; charset=utf-8") == [event, event]


def test_cloud_events_are_taken_alone_or_in_a_batch() -> None:
    event = recorded("blob_created_cloud_event.json")
    assert read(event, CLOUD, EventSchema.CLOUD_EVENTS) == [event]
    assert read([event], f"{BATCH}; charset=utf-8", EventSchema.CLOUD_EVENTS) == [event]


def test_the_topic_is_added_where_the_publisher_leaves_it_out() -> None:
    event = {"id": "1", "subject": "s", "eventType": "t", "eventTime": "2026-01-02T03:04:05Z", "data": {}}
    (read_back,) = read(event)
    assert read_back == {"topic": "/topics/t", "dataVersion": "", "metadataVersion": "1", **event}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"subject": 3}, "subject"),
        ({"eventTime": "yesterday"}, "eventTime"),
        ({"metadataVersion": "2"}, "metadataVersion"),
    ],
)
def test_a_wrong_event_is_named_with_its_property(change: dict[str, object], problem: str) -> None:
    good = recorded("blob_created.json")
    with pytest.raises(InvalidEvents, match=rf"Event 1 .*{problem}"):
        read([good, good | change])


@pytest.mark.parametrize("change", [{"specversion": "0.3"}, {"source": ""}, {"Bad-Name": 1}, {"time": "soon"}])
def test_a_wrong_cloud_event_is_named(change: dict[str, object]) -> None:
    with pytest.raises(InvalidEvents, match="Event 0"):
        read(recorded("blob_created_cloud_event.json") | change, CLOUD, EventSchema.CLOUD_EVENTS)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{", JSON), (b"3", JSON), (b"[]", "text/plain"), (b"[]", CLOUD), (b"[]", BATCH)],
)
def test_what_is_no_event_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidEvents):
        read_events(body, content_type, EventSchema.EVENT_GRID, "/topics/t")


def test_an_array_is_no_single_cloud_event() -> None:
    with pytest.raises(InvalidEvents, match="batch"):
        read([], CLOUD, EventSchema.CLOUD_EVENTS)


def test_an_event_becomes_a_cloud_event_and_a_cloud_event_stays_one() -> None:
    event, cloud = recorded("blob_created.json"), recorded("blob_created_cloud_event.json")
    converted = in_schema(event, EventSchema.CLOUD_EVENTS)
    assert converted.keys() == cloud.keys()
    assert (type_of(converted), subject_of(converted)) == (type_of(event), subject_of(event))
    assert in_schema(event, EventSchema.EVENT_GRID) is event
    assert in_schema(cloud, EventSchema.CLOUD_EVENTS) is cloud
