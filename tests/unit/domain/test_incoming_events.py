import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.domain import incoming_events
from function_app.domain.incoming_events import BlobCreated, RunChanged
from function_app.errors import InvalidEvent
from tests.unit.simulation import blob_created, run_status_changed

RECORDED = Path(__file__).parents[2] / "events"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)
KEYS = ["id", "eventType", "type", "data", "url", "api", "contentLength", "runId", "runid"]
LOOKALIKES = st.dictionaries(
    st.sampled_from(KEYS),
    JSON
    | st.sampled_from([incoming_events.BLOB_CREATED, incoming_events.RUN_COMPLETED, incoming_events.RUN_STATUS_CHANGED])
    | st.dictionaries(st.sampled_from(KEYS), JSON | st.text(), max_size=6),
)


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text())
    return event


class TestDecode:
    @pytest.mark.parametrize("as_text", [False, True])
    @pytest.mark.parametrize("encoded", [False, True])
    def test_reads_json_plain_or_in_base64(self, encoded: bool, as_text: bool) -> None:  # noqa: FBT001 - parameters
        body = json.dumps({"id": "1"}).encode()
        body = base64.b64encode(body) if encoded else body
        assert incoming_events.decode(body.decode() if as_text else body) == {"id": "1"}

    @pytest.mark.parametrize("body", [b"", b"no json", b"\xff\xfe", b"bm8ganNvbg==", b"[" * 100_000])
    def test_refuses_what_is_no_json(self, body: bytes) -> None:
        with pytest.raises(InvalidEvent, match="not JSON"):
            incoming_events.decode(body)

    @given(st.binary() | st.text())
    def test_raises_nothing_else(self, body: bytes | str) -> None:
        try:
            list(incoming_events.iter_events(incoming_events.decode(body)))
        except InvalidEvent:
            return


class TestEach:
    def test_takes_one_event_or_an_array(self) -> None:
        assert list(incoming_events.iter_events({"id": "1"})) == [{"id": "1"}]
        assert list(incoming_events.iter_events([{"id": "1"}, {"id": "2"}])) == [{"id": "1"}, {"id": "2"}]

    @pytest.mark.parametrize("value", ["text", 1, None, [{"id": "1"}, 2]])
    def test_refuses_what_is_no_object(self, value: object) -> None:
        with pytest.raises(InvalidEvent, match="JSON object"):
            list(incoming_events.iter_events(value))


class TestParse:
    @pytest.mark.parametrize("name", ["blob_created", "blob_created_cloud_event"])
    def test_reads_a_blobs_creation_in_both_schemas(self, name: str) -> None:
        event = recorded(name)
        parsed = incoming_events.parse(event)
        assert isinstance(parsed, BlobCreated)
        assert (parsed.id, parsed.url) == (event["id"], event["data"]["url"])
        assert (parsed.size, parsed.api) == (event["data"]["contentLength"], event["data"]["api"])

    @pytest.mark.parametrize("name", ["run_completed", "run_status_changed", "run_status_changed_cloud_event"])
    def test_reads_a_runs_change_in_both_schemas(self, name: str) -> None:
        event = recorded(name)
        parsed = incoming_events.parse(event)
        assert parsed == RunChanged(id=event["id"], job=event["data"]["runId"])

    @pytest.mark.parametrize("key", ["runId", "RunId", "runID", "runid"])
    def test_reads_a_runs_keys_in_any_case(self, key: str) -> None:
        event = run_status_changed("digits-1", "Completed")
        event["data"] = {key: "digits-1"}
        assert incoming_events.parse(event) == RunChanged(id=event["id"], job="digits-1")

    @pytest.mark.parametrize("kind", ["Microsoft.Storage.BlobDeleted", "Microsoft.Storage.DirectoryCreated", "Other"])
    def test_leaves_other_kinds_alone(self, kind: str) -> None:
        assert incoming_events.parse({"id": "1", "eventType": kind}) is None

    @pytest.mark.parametrize("data", [None, "text", {}, {"url": ""}, {"url": 1}, {"url": "u", "contentLength": "5"}])
    def test_refuses_a_known_kind_that_lacks_what_it_must_have(self, data: object) -> None:
        with pytest.raises(InvalidEvent, match=r"Microsoft\.Storage\.BlobCreated"):
            incoming_events.parse({**blob_created("data/digits/a"), "data": data})

    def test_refuses_an_event_without_a_type(self) -> None:
        with pytest.raises(InvalidEvent, match="no type"):
            incoming_events.parse({"id": "1"})

    @pytest.mark.parametrize("length", [incoming_events.LONGEST_TEXT, incoming_events.LONGEST_TEXT + 1])
    def test_refuses_what_is_too_long_for_a_queue(self, length: int) -> None:
        event = {**blob_created("data/digits/a"), "id": "x" * length}
        if length <= incoming_events.LONGEST_TEXT:
            assert incoming_events.parse(event) is not None
            return
        with pytest.raises(InvalidEvent, match="at most 10000"):
            incoming_events.parse(event)

    def test_refuses_half_a_character(self) -> None:
        event = blob_created("data/digits/a")
        event["data"]["url"] = "https://kedja.blob.core.windows.net/data/\ud800/a"
        with pytest.raises(InvalidEvent, match="url is not valid Unicode"):
            incoming_events.parse(event)

    @given(LOOKALIKES)
    def test_raises_nothing_else(self, event: dict[str, Any]) -> None:
        try:
            parsed = incoming_events.parse(event)
        except InvalidEvent:
            return
        assert parsed is None or isinstance(parsed, BlobCreated | RunChanged)
