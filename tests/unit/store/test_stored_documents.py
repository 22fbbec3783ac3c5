"""What earlier releases have stored stays readable, and is written back as it was.

Each file in `stored/` is a document or a message as a release wrote it. A change that makes one of these tests fail
makes something unreadable that people have.
"""

import json
from pathlib import Path

import pytest

from function_app.domain.document import Document
from function_app.domain.drop import Manifest
from function_app.domain.messages import (
    ApprovedMessage,
    SettleMessage,
    SubmitMessage,
    SyncJobMessage,
    TrainingRequestMessage,
)
from function_app.domain.receipt import Receipt, WaitingFor
from function_app.drops.intake import PendingSettle
from function_app.drops.uploads import UploadRecord
from function_app.http.api_keys import StoredKey
from function_app.http.idempotency import StoredResponse
from function_app.jobs.slots import SlotTable
from function_app.jobspec.schema import stored_spec
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Champion
from function_app.models.ownership import ModelOwner
from function_app.operations import reconciliation, retention, walk
from function_app.operations.poison import PoisonMessage
from function_app.store.approvals import Approval
from function_app.store.deletions import Deletion
from function_app.store.journal import Entry
from function_app.store.latest_drop import LatestDrop
from function_app.store.pause import Pause

FOLDER = Path(__file__).parent / "stored"
DOCUMENTS: dict[str, type[Document]] = {
    "api-key": StoredKey,
    "approval": Approval,
    "champion": Champion,
    "champion-of-a-shared-model": Champion,
    "deletion-done": Deletion,
    "deletion-under-way": Deletion,
    "idempotency-key": StoredResponse,
    "latest-drop": LatestDrop,
    "model-manifest": ModelManifest,
    "owner": ModelOwner,
    "paused": Pause,
    "poison": PoisonMessage,
    "receipt-failed": Receipt,
    "receipt-queued": Receipt,
    "receipt-registered": Receipt,
    "receipt-with-notes": Receipt,
    "receipt-with-events": Receipt,
    "reconcile-cursor": reconciliation.Cursor,
    "retention-cursor": retention.Cursor,
    "retirement": retention.RetentionRecord,
    "running-jobs": SlotTable,
    "settling-mark": PendingSettle,
    "snapshot-manifest": Manifest,
    "upload-record": UploadRecord,
    "walk-cursor": walk.WalkCursor,
}
LINES: dict[str, type[Document]] = {"journal-drop": Entry, "journal-event": Entry}
MESSAGES: dict[str, type[Document]] = {
    "message-approved": ApprovedMessage,
    "message-look": SyncJobMessage,
    "message-request": TrainingRequestMessage,
    "message-settle": SettleMessage,
    "message-submit": SubmitMessage,
}


def stored(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_read_and_written_back_as_it_was(name: str) -> None:
    assert DOCUMENTS[name].from_bytes(stored(name)).to_bytes() == stored(name)


@pytest.mark.parametrize("name", [*LINES, *MESSAGES])
def test_a_line_or_message_is_read_and_written_back_as_it_was(name: str) -> None:
    kind = {**LINES, **MESSAGES}[name]
    assert kind.from_bytes(stored(name)).model_dump(mode="json") == json.loads(stored(name))


def test_a_job_spec_is_read_and_written_back_as_it_was() -> None:
    assert stored_spec(json.loads(stored("job-spec"))).to_json().encode() == stored("job-spec")


@pytest.mark.parametrize("name", [name for name, kind in DOCUMENTS.items() if kind is Receipt])
def test_a_receipt_of_the_release_before_lacks_what_this_one_adds(name: str) -> None:
    """Attempts got fields in this release: none of them is needed to read what the one before it wrote."""
    document = json.loads(stored(name))
    for attempt in document["attempts"]:
        for field in ("options", "misses", "reopened", "request"):
            attempt.pop(field, None)
    receipt = Receipt.from_bytes(json.dumps(document).encode())
    assert [one.job for one in receipt.attempts] == [one["job"] for one in document["attempts"]]
    assert {one.options for one in receipt.attempts} == {None}


@pytest.mark.parametrize(
    ("reason", "waits_for"),
    [
        ("data", WaitingFor.FILES),
        ("_SUCCESS", WaitingFor.FILES),
        ("compute gpu-cluster", WaitingFor.COMPUTE),
        ("training service", WaitingFor.TRAINING_SERVICE),
        (f"approval of {'0' * 64}", WaitingFor.APPROVAL),
    ],
)
def test_a_receipt_of_the_release_before_says_in_words_what_it_waits_for(reason: str, waits_for: WaitingFor) -> None:
    document = {**json.loads(stored("receipt-failed")), "status": "waiting", "reason": reason}
    assert Receipt.from_bytes(json.dumps(document).encode()).waits_for is waits_for


def test_every_file_is_one_of_these() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*DOCUMENTS, *LINES, *MESSAGES, "job-spec"}
