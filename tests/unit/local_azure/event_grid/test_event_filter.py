from typing import Any

import pytest
from pydantic import ValidationError

from local_azure.event_grid.event_filter import OPERATORS, EventFilter

EVENT: dict[str, Any] = {
    "id": "1",
    "subject": "/blobServices/default/containers/data/blobs/Digits/train.py",
    "eventType": "Microsoft.Storage.BlobCreated",
    "data": {"api": "PutBlob", "contentLength": 7, "isLast": True, "nothing": None, "Copy": {"status": "success"}},
}


def matches(**wanted: object) -> bool:
    return EventFilter.model_validate(wanted).matches(EVENT)


def test_an_empty_filter_wants_everything() -> None:
    assert matches()
    assert matches(includedEventTypes=["All"])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"includedEventTypes": ["microsoft.storage.blobcreated"]}, True),
        ({"includedEventTypes": ["Microsoft.Storage.BlobDeleted"]}, False),
        ({"subjectBeginsWith": "/blobservices/default/containers/DATA/"}, True),
        ({"subjectBeginsWith": "/blobServices/default/containers/DATA/", "isSubjectCaseSensitive": True}, False),
        ({"subjectBeginsWith": "/blobServices/default/containers/data2/"}, False),
        ({"subjectEndsWith": ".PY"}, True),
        ({"subjectEndsWith": ".npz"}, False),
    ],
)
def test_types_and_subjects(wanted: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert matches(**wanted) is expected


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "expected"),
    [
        ("StringIn", "data.api", {"values": ["putblob", "CopyBlob"]}, True),
        ("StringNotIn", "data.api", {"values": ["PutBlob"]}, False),
        ("StringNotIn", "data.missing", {"values": ["PutBlob"]}, True),
        ("StringContains", "Subject", {"values": ["digits"]}, True),
        ("StringNotContains", "subject", {"values": ["digits"]}, False),
        ("StringBeginsWith", "EventType", {"values": ["Microsoft.Storage"]}, True),
        ("StringNotBeginsWith", "eventType", {"values": ["Kedja"]}, True),
        ("StringEndsWith", "data.copy.status", {"values": ["cess"]}, True),
        ("StringNotEndsWith", "data.copy.status", {"values": ["cess"]}, False),
        ("StringIn", "data.contentLength", {"values": ["7"]}, False),
        ("NumberGreaterThan", "data.contentLength", {"value": 7}, False),
        ("NumberGreaterThanOrEquals", "data.contentLength", {"value": 7}, True),
        ("NumberLessThan", "data.contentLength", {"value": 7.5}, True),
        ("NumberLessThanOrEquals", "data.contentLength", {"value": 6}, False),
        ("NumberIn", "data.contentLength", {"values": [1, 7]}, True),
        ("NumberNotIn", "data.contentLength", {"values": [1, 7]}, False),
        ("NumberInRange", "data.contentLength", {"values": [[1, 3], [5, 9]]}, True),
        ("NumberNotInRange", "data.contentLength", {"values": [[1, 3]]}, True),
        ("NumberGreaterThan", "data.missing", {"value": 0}, False),
        ("BoolEquals", "data.isLast", {"value": True}, True),
        ("BoolEquals", "data.isLast", {"value": False}, False),
        ("BoolEquals", "data.contentLength", {"value": True}, False),
        ("IsNullOrUndefined", "data.nothing", {}, True),
        ("IsNullOrUndefined", "data.missing.deeper", {}, True),
        ("IsNotNull", "data.api", {}, True),
        ("IsNotNull", "data.nothing", {}, False),
    ],
)
def test_advanced_filters(
    operator: str,
    key: str,
    wanted: dict[str, object],
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert matches(advancedFilters=[{"operatorType": operator, "key": key, **wanted}]) is expected


def test_all_conditions_must_hold() -> None:
    holds = {"operatorType": "BoolEquals", "key": "data.isLast", "value": True}
    fails = {"operatorType": "IsNotNull", "key": "data.missing"}
    assert matches(advancedFilters=[holds])
    assert not matches(advancedFilters=[holds, fails])


@pytest.mark.parametrize("operator", sorted(OPERATORS - {"IsNotNull", "IsNullOrUndefined"}))
def test_a_condition_without_a_value_is_refused(operator: str) -> None:
    with pytest.raises(ValidationError, match=operator):
        matches(advancedFilters=[{"operatorType": operator, "key": "data.api"}])


def test_an_unknown_operator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="StringContains"):
        matches(advancedFilters=[{"operatorType": "StringLike", "key": "data.api", "values": ["a"]}])
