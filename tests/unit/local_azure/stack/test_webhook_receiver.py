from local_azure.stack.webhook_receiver import WebhookReceiver


def event(number: str, kind: str, experiment: str) -> dict[str, object]:
    return {"id": number, "type": kind, "data": {"experiment": experiment}}


def test_keeps_each_event_once_in_the_order_it_came() -> None:
    receiver = WebhookReceiver("http://127.0.0.1:1/events")
    receiver.keep([event("1", "A", "digits"), event("2", "B", "digits")])
    receiver.keep([event("1", "A", "digits"), event("3", "A", "other")])
    assert [one["id"] for one in receiver.events] == ["1", "2", "3"]
    assert receiver.types("digits") == ["A", "B"]


def test_waiting_ends_with_what_came_in_time() -> None:
    receiver = WebhookReceiver("http://127.0.0.1:1/events")
    receiver.keep([event("1", "A", "digits")])
    assert receiver.wait_for("A", "digits", timeout=5) == ["A"]
    assert receiver.wait_for("B", "digits", timeout=0.2) == ["A"]
