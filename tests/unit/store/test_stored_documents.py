"""What earlier releases have stored stays readable, and is written back as it was.

Each file in `stored/` is a document or a message as a release wrote it. A change that makes one of these tests fail
makes something unreadable that people have.
"""

import json
from pathlib import Path

import pytest

from function_app.domain.document import Document
from function_app.domain.drop import Manifest
from function_app.domain.receipt import Receipt
from function_app.drops.intake import Marker, SettleRequest
from function_app.drops.uploads import UploadRecord
from function_app.http.api_keys import StoredKey
from function_app.http.idempotency import Kept
from function_app.jobs.job_queue import SubmitRequest
from function_app.jobs.slots import Running
from function_app.jobs.tracking import LookRequest
from function_app.jobspec.schema import stored_spec
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Champion
from function_app.models.ownership import ModelOwner
from function_app.operations import reconciliation, retention, walk
from function_app.operations.approvals import ApprovedRequest
from function_app.operations.poison import PoisonMessage
from function_app.operations.training_requests import TrainingRequest
from function_app.store.approvals import Approval
from function_app.store.deletions import Deletion
from function_app.store.journal import Entry
from function_app.store.latest_drop import Latest
from function_app.store.pause import Pause

FOLDER = Path(__file__).parent / "stored"
DOCUMENTS: dict[str, type[Document]] = {
    "api-key": StoredKey,
    "approval": Approval,
    "champion": Champion,
    "champion-of-a-shared-model": Champion,
    "deletion-done": Deletion,
    "deletion-under-way": Deletion,
    "idempotency-key": Kept,
    "latest-drop": Latest,
    "model-manifest": ModelManifest,
    "owner": ModelOwner,
    "paused": Pause,
    "poison": PoisonMessage,
    "receipt-failed": Receipt,
    "receipt-queued": Receipt,
    "receipt-registered": Receipt,
    "receipt-with-events": Receipt,
    "reconcile-cursor": reconciliation.Cursor,
    "retention-cursor": retention.Cursor,
    "retirement": retention.Retirement,
    "running-jobs": Running,
    "settling-mark": Marker,
    "snapshot-manifest": Manifest,
    "upload-record": UploadRecord,
    "walk-cursor": walk.Cursor,
}
LINES: dict[str, type[Document]] = {"journal-drop": Entry, "journal-event": Entry}
MESSAGES: dict[str, type[Document]] = {
    "message-approved": ApprovedRequest,
    "message-look": LookRequest,
    "message-request": TrainingRequest,
    "message-settle": SettleRequest,
    "message-submit": SubmitRequest,
}


def stored(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_read_and_written_back_as_it_was(name: str) -> None:
    assert DOCUMENTS[name].decoded(stored(name)).encoded() == stored(name)


@pytest.mark.parametrize("name", [*LINES, *MESSAGES])
def test_a_line_or_message_is_read_and_written_back_as_it_was(name: str) -> None:
    kind = {**LINES, **MESSAGES}[name]
    assert kind.decoded(stored(name)).model_dump(mode="json") == json.loads(stored(name))


def test_a_job_spec_is_read_and_written_back_as_it_was() -> None:
    assert stored_spec(json.loads(stored("job-spec"))).to_json().encode() == stored("job-spec")


@pytest.mark.parametrize("name", [name for name, kind in DOCUMENTS.items() if kind is Receipt])
def test_a_receipt_of_the_release_before_lacks_what_this_one_adds(name: str) -> None:
    """Attempts got fields in this release: none of them is needed to read what the one before it wrote."""
    document = json.loads(stored(name))
    for attempt in document["attempts"]:
        for field in ("options", "misses", "reopened", "request"):
            attempt.pop(field, None)
    receipt = Receipt.decoded(json.dumps(document).encode())
    assert [one.job for one in receipt.attempts] == [one["job"] for one in document["attempts"]]
    assert {one.options for one in receipt.attempts} == {None}


def test_every_file_is_one_of_these() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*DOCUMENTS, *LINES, *MESSAGES, "job-spec"}
