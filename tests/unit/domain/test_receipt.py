from datetime import UTC, datetime
from itertools import product

import pytest

from function_app.domain.cloud_events import Announced
from function_app.domain.receipt import FINAL, MOVES, NOT_STARTED, IllegalMove, Receipt, Status
from tests.unit.sample_receipt import NOW, make

LATER = datetime(2026, 1, 2, tzinfo=UTC)


def test_every_status_says_which_may_follow() -> None:
    assert set(MOVES) == set(Status)
    assert not FINAL & NOT_STARTED


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_moves_where_it_may(before: Status, after: Status) -> None:
    receipt = make(before)
    if before is after:
        assert receipt.moved(after, LATER) is receipt
    elif after in MOVES[before]:
        moved = receipt.moved(after, LATER, "reason", "what to do")
        assert (moved.status, moved.reason, moved.what_to_do) == (after, "reason", "what to do")
        assert [change.status for change in moved.history] == [after]
    else:
        with pytest.raises(IllegalMove, match=f"is {before}: it cannot become {after}"):
            receipt.moved(after, LATER)


def test_final_ones_go_on_only_by_a_new_attempt_or_where_they_may_have_had_none_or_missed_their_job() -> None:
    for status in FINAL - {Status.REJECTED, Status.SUPERSEDED, Status.FAILED, Status.NOT_REGISTERED}:
        assert MOVES[status] == {Status.SUBMITTING}
    assert MOVES[Status.FAILED] == {Status.SUBMITTING, Status.SUBMITTED}
    assert MOVES[Status.NOT_REGISTERED] == {Status.SUBMITTING, Status.COMPLETED}


def test_the_same_status_for_another_reason_is_a_line_of_the_history() -> None:
    receipt = make(Status.STARTING).moved(Status.STARTING, LATER, "waits for a node")
    assert [(change.status, change.reason) for change in receipt.history] == [(Status.STARTING, "waits for a node")]


def test_survives_its_json() -> None:
    receipt = (
        make()
        .with_(spec={"inputs": {"lr": 0.1}, "list": [1, "a", True]})
        .with_attempt(metrics={"accuracy": 0.5, "loss": float("inf")}, log_tail=("a", "b"))
    )
    receipt = receipt.announcing(Announced.JOB_SUBMITTED, NOW, links={"mlflow": "u"})
    assert Receipt.decoded(receipt.encoded()) == receipt


def test_keys_of_a_newer_release_are_no_error() -> None:
    data = make().encoded().decode().replace('"version": 1,', '"version": 1, "news": {"a": 1},', 1)
    assert Receipt.decoded(data.encode()) == make()


def test_changes_are_checked() -> None:
    with pytest.raises(ValueError, match="sequence"):
        make().with_(sequence="many")
    with pytest.raises(IllegalMove, match="no attempt"):
        make(attempts=0).with_attempt(exit_code=1)


def test_an_event_has_the_same_id_whenever_it_is_made() -> None:
    first = make().announcing(Announced.JOB_SUBMITTED, NOW).outbox[0]
    again = make().announcing(Announced.JOB_SUBMITTED, LATER).outbox[0]
    assert first.id == again.id == "digits-dddddddddddddddd-1-JobSubmitted"
    assert make(attempts=2).announcing(Announced.JOB_SUBMITTED, NOW).outbox[0].id != first.id
    assert make().announcing(Announced.JOB_FAILED, NOW).outbox[0].id != first.id


def test_an_event_says_what_it_is_about() -> None:
    (event,) = make().announcing(Announced.JOB_FAILED, NOW, exit_code=1, nothing=None).outbox
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
    receipt = make().announcing(Announced.JOB_SUBMITTED, NOW).announcing(Announced.JOB_SUBMITTED, LATER)
    assert [event.time for event in receipt.outbox] == [LATER]
    assert receipt.without(receipt.outbox).outbox == ()
