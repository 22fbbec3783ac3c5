from datetime import UTC, datetime
from itertools import product

import pytest

from function_app.domain.attempt import Attempt
from function_app.domain.cloud_events import EventType
from function_app.domain.document import Document
from function_app.domain.receipt import FINAL, NOT_STARTED, TRANSITIONS, IllegalTransition, Receipt, Status
from function_app.domain.receipt_changes import AttemptChanges, ReceiptChanges
from tests.unit.sample_receipt import NOW, make

LATER = datetime(2026, 1, 2, tzinfo=UTC)


def test_every_status_says_which_may_follow() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert not FINAL & NOT_STARTED


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_moves_where_it_may(before: Status, after: Status) -> None:
    receipt = make(before)
    if before is after:
        assert receipt.with_status(after, LATER) is receipt
    elif after in TRANSITIONS[before]:
        moved = receipt.with_status(after, LATER, "reason", "what to do")
        assert (moved.status, moved.reason, moved.what_to_do) == (after, "reason", "what to do")
        assert [change.status for change in moved.history] == [after]
    else:
        with pytest.raises(IllegalTransition, match=f"is {before}: it cannot become {after}"):
            receipt.with_status(after, LATER)


def test_final_ones_go_on_only_by_a_new_attempt_or_where_they_may_have_had_none_or_missed_their_job() -> None:
    for status in FINAL - {Status.REJECTED, Status.SUPERSEDED, Status.FAILED, Status.NOT_REGISTERED}:
        assert TRANSITIONS[status] == {Status.SUBMITTING}
    assert TRANSITIONS[Status.FAILED] == {Status.SUBMITTING, Status.SUBMITTED}
    assert TRANSITIONS[Status.NOT_REGISTERED] == {Status.SUBMITTING, Status.COMPLETED}


def test_the_same_status_for_another_reason_is_a_line_of_the_history() -> None:
    receipt = make(Status.STARTING).with_status(Status.STARTING, LATER, "waits for a node")
    assert [(change.status, change.reason) for change in receipt.history] == [(Status.STARTING, "waits for a node")]


def test_survives_its_json() -> None:
    receipt = (
        make()
        .replace(spec={"inputs": {"lr": 0.1}, "list": [1, "a", True]})
        .with_attempt(metrics={"accuracy": 0.5, "loss": float("inf")}, log_tail=("a", "b"))
    )
    receipt = receipt.with_event(EventType.JOB_SUBMITTED, NOW, links={"mlflow": "u"})
    assert Receipt.from_bytes(receipt.to_bytes()) == receipt


def test_keys_of_a_newer_release_are_no_error() -> None:
    data = make().to_bytes().decode().replace('"version": 1,', '"version": 1, "news": {"a": 1},', 1)
    assert Receipt.from_bytes(data.encode()) == make()


@pytest.mark.parametrize(("document", "changes"), [(Receipt, ReceiptChanges), (Attempt, AttemptChanges)])
def test_what_may_be_changed_are_the_fields(document: type[Document], changes: type) -> None:
    assert {*document.model_fields} == {*changes.__annotations__}


def test_changes_are_checked() -> None:
    with pytest.raises(ValueError, match="sequence"):
        make().replace(sequence="many")  # type: ignore[arg-type] # mypy checks it as well
    with pytest.raises(TypeError, match="Receipt has no field statsu, x"):
        make().replace(statsu=Status.FAILED, x=1)  # type: ignore[call-arg] # as above
    with pytest.raises(TypeError, match="Attempt has no field ending"):
        make().with_attempt(ending=NOW)  # type: ignore[call-arg] # as above
    with pytest.raises(IllegalTransition, match="no attempt"):
        make(attempts=0).with_attempt(exit_code=1)


def test_an_event_has_the_same_id_whenever_it_is_made() -> None:
    first = make().with_event(EventType.JOB_SUBMITTED, NOW).outbox[0]
    again = make().with_event(EventType.JOB_SUBMITTED, LATER).outbox[0]
    assert first.id == again.id == "digits-dddddddddddddddd-1-JobSubmitted"
    assert make(attempts=2).with_event(EventType.JOB_SUBMITTED, NOW).outbox[0].id != first.id
    assert make().with_event(EventType.JOB_FAILED, NOW).outbox[0].id != first.id


def test_an_event_says_what_it_is_about() -> None:
    (event,) = make().with_event(EventType.JOB_FAILED, NOW, exit_code=1, nothing=None).outbox
    assert (event.source, event.subject) == ("/receipts/digits", f"drops/{'d' * 64}")
    assert event.data == {
        "experiment": "digits",
        "folder": "Digits",
        "drop": "d" * 64,
        "receipt": f"digits/{'d' * 64}.json",
        "status": "submitting",
        "job": "digits-1",
        "attempt": 1,
        "exit_code": 1,
    }


def test_an_event_waits_once_in_the_outbox() -> None:
    receipt = make().with_event(EventType.JOB_SUBMITTED, NOW).with_event(EventType.JOB_SUBMITTED, LATER)
    assert [event.time for event in receipt.outbox] == [LATER]
    assert receipt.without_events(receipt.outbox).outbox == ()
