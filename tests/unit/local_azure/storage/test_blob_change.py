import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from local_azure.storage.blob_change import BlobChange, BlobFacts, BlobOperation, event_of, operation_of

EVENTS = Path(__file__).parents[3] / "events"
ACCOUNT = "/devstoreaccount1"
BLOCK_BLOB = {"x-ms-blob-type": "BlockBlob", "content-length": "12", "content-type": "text/plain"}


def operation(method: str, target: str, headers: dict[str, str]) -> BlobOperation | None:
    path, _, query = target.partition("?")
    return operation_of(method, path, query, Headers(headers))


def change(done: BlobOperation) -> BlobChange:
    return BlobChange(
        operation=done, request_id="r", etag='"0x8D"', time=datetime(2026, 1, 2, tzinfo=UTC), sequencer="01"
    )


@pytest.mark.parametrize(
    ("method", "target", "headers", "api"),
    [
        ("PUT", "/data/a/b.txt", BLOCK_BLOB, "PutBlob"),
        ("PUT", "/data/a?sv=2024&sig=x%2F", BLOCK_BLOB, "PutBlob"),
        ("PUT", "/data/a?comp=blocklist", {}, "PutBlockList"),
        ("PUT", "/data/a", {"x-ms-copy-source": "http://x/y"}, "CopyBlob"),
        ("PUT", "/data/a", {"x-ms-copy-source": "http://x/y", "x-ms-requires-sync": "true"}, "CopyBlob"),
        ("PUT", "/data/a", {"x-ms-copy-source": "http://x/y", "x-ms-blob-type": "BlockBlob"}, "PutBlobFromUrl"),
        ("DELETE", "/data/a", {}, "DeleteBlob"),
        ("DELETE", "/data/a", {"x-ms-delete-snapshots": "include"}, "DeleteBlob"),
    ],
)
def test_operations_that_change_a_blob(method: str, target: str, headers: dict[str, str], api: str) -> None:
    done = operation(method, ACCOUNT + target, headers)
    assert done is not None
    assert (done.api, done.container) == (api, "data")


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("PUT", "/data?restype=container", {}),
        ("PUT", "/data/a?comp=block&blockid=eA==", {"content-length": "3"}),
        ("PUT", "/data/a?comp=block&blockid=eA==", {"x-ms-copy-source": "http://x/y"}),
        ("PUT", "/data/a?comp=metadata", {}),
        ("PUT", "/data/a?comp=lease", {}),
        ("PUT", "/data/a?comp=snapshot", {}),
        ("PUT", "/data/a?comp=properties", {}),
        ("PUT", "/data/a?comp=tags", {}),
        ("PUT", "/data/a?comp=copy&copyid=1", {"x-ms-copy-action": "abort"}),
        ("PUT", "/$logs/a", BLOCK_BLOB),
        ("DELETE", "/data?restype=container", {}),
        ("DELETE", "/data/a?snapshot=2026", {}),
        ("DELETE", "/data/a", {"x-ms-delete-snapshots": "only"}),
        ("GET", "/data/a", {}),
        ("HEAD", "/data/a", {}),
        ("POST", "?comp=batch", {}),
    ],
)
def test_other_requests_raise_nothing(method: str, target: str, headers: dict[str, str]) -> None:
    assert operation(method, ACCOUNT + target, headers) is None


def test_the_subject_is_decoded_and_the_url_is_encoded() -> None:
    done = operation("PUT", f"{ACCOUNT}/data/%C3%A5%20b%2Fc/50%25%20%231.txt", BLOCK_BLOB)
    assert done is not None
    event = event_of(change(done), None, "http://127.0.0.1:10000/")
    assert event["subject"] == "/blobServices/default/containers/data/blobs/å b/c/50% #1.txt"
    assert event["data"]["url"] == "http://127.0.0.1:10000/devstoreaccount1/data/%C3%A5%20b/c/50%25%20%231.txt"


def test_a_put_tells_its_content_and_a_block_list_must_be_asked_for() -> None:
    put = operation("PUT", f"{ACCOUNT}/data/a", {**BLOCK_BLOB, "x-ms-blob-content-type": "image/png"})
    chunked = operation("PUT", f"{ACCOUNT}/data/a", {"x-ms-blob-type": "BlockBlob", "transfer-encoding": "chunked"})
    blocks = operation("PUT", f"{ACCOUNT}/data/a?comp=blocklist", {})
    assert put is not None
    assert chunked is not None
    assert blocks is not None
    assert (put.content_type, put.content_length, put.needs_properties) == ("image/png", 12, False)
    assert chunked.needs_properties
    assert blocks.needs_properties
    facts = BlobFacts(content_type="text/csv", content_length=5, blob_type="BlockBlob")
    assert event_of(change(blocks), facts, "http://x")["data"]["contentLength"] == 5


@pytest.mark.parametrize("recorded", ["blob_created.json", "blob_created_block_list.json"])
def test_an_event_has_the_properties_and_types_of_a_recorded_one(recorded: str) -> None:
    real: dict[str, Any] = json.loads((EVENTS / recorded).read_text())
    done = operation("PUT", f"{ACCOUNT}/data/a", {**BLOCK_BLOB, "x-ms-client-request-id": "c"})
    assert done is not None
    event = event_of(change(done), None, "http://x")
    assert event.keys() == real.keys()
    assert event["data"].keys() == real["data"].keys()
    assert {key: type(value) for key, value in event["data"].items()} == {
        key: type(value) for key, value in real["data"].items()
    }
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["id"])
