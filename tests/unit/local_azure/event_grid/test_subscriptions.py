import json
from pathlib import Path
from typing import Any

import pytest

from local_azure.event_grid import subscriptions
from local_azure.event_grid.event_schema import EventSchema
from local_azure.event_grid.subscriptions import (
    InvalidSubscriptions,
    Subscription,
    SubscriptionBook,
    UnknownSubscription,
    read_file,
)

EVENTS = Path(__file__).parents[3] / "events"
DEFAULT = Path(subscriptions.__file__).with_name("subscriptions.json")
WEBHOOK = {"endpointType": "WebHook", "properties": {"endpointUrl": "http://127.0.0.1:9/hook"}}


def subscription(**more: object) -> Subscription:
    return Subscription.model_validate({"destination": WEBHOOK, **more})


def book(folder: Path) -> SubscriptionBook:
    return SubscriptionBook(read_file(DEFAULT).topics, folder / "added.json")


def wanted_by(topic: str, event: dict[str, Any]) -> list[str]:
    subscriptions = read_file(DEFAULT).topics[topic].event_subscriptions
    return [name for name, one in subscriptions.items() if one.filter.matches(event)]


@pytest.mark.parametrize(
    ("topic", "event", "names"),
    [
        ("storage", "blob_created.json", ["data"]),
        ("storage", "blob_created_block_list.json", ["scripts"]),
        ("workspace", "run_completed.json", ["runs"]),
        ("workspace", "run_status_changed.json", ["runs"]),
    ],
)
def test_the_default_file_sends_recorded_events_where_they_belong(topic: str, event: str, names: list[str]) -> None:
    assert wanted_by(topic, json.loads((EVENTS / event).read_text())) == names


def test_the_default_file_leaves_out_kedjas_own_writes() -> None:
    event = json.loads((EVENTS / "blob_created.json").read_text())
    event["subject"] = "/blobServices/default/containers/receipts/blobs/digits/latest.json"
    assert wanted_by("storage", event) == []


def test_every_default_subscription_has_dead_letters() -> None:
    topics = read_file(DEFAULT).topics
    assert set(topics) == {"kedja", "storage", "workspace"}
    assert topics["kedja"].input_schema is EventSchema.CLOUD_EVENTS
    for topic in topics.values():
        for one in topic.event_subscriptions.values():
            assert one.dead_letter_destination is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "wrong"),
        ("{}", "topics"),
        ('{"topics": {"t": {"eventSubscriptions": {"s": {"destination": {"endpointType": "Fax"}}}}}}', "endpointType"),
        ('{"topics": {"t": {"inputSchema": "Xml"}}}', "inputSchema.*Xml"),
        ('{"topics": {}, "fault": {}}', "fault"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "subscriptions.json"
    path.write_text(text)
    with pytest.raises(InvalidSubscriptions, match=f"(?s){path}.*{problem}"):
        read_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSubscriptions, match=r"absent\.json"):
        read_file(tmp_path / "absent.json")


def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    added = subscription(filter={"includedEventTypes": ["Kedja.ModelRegistered"]})
    book(tmp_path).add("kedja", "mine", added)
    again = book(tmp_path)
    assert again.subscription("kedja", "mine") == added
    again.remove("kedja", "mine")
    with pytest.raises(UnknownSubscription, match="mine"):
        book(tmp_path).subscription("kedja", "mine")


def test_the_files_own_subscriptions_stay_as_they_are(tmp_path: Path) -> None:
    kept = book(tmp_path)
    with pytest.raises(InvalidSubscriptions, match="storage/data"):
        kept.add("storage", "data", subscription())
    with pytest.raises(InvalidSubscriptions, match="storage/data"):
        kept.remove("storage", "data")
    with pytest.raises(UnknownSubscription, match="kedja, storage, workspace"):
        kept.add("elsewhere", "mine", subscription())


def test_a_topic_of_cloud_events_delivers_no_other(tmp_path: Path) -> None:
    with pytest.raises(InvalidSubscriptions, match="CloudEvents only"):
        book(tmp_path).add("kedja", "mine", subscription(eventDeliverySchema="EventGridSchema"))
