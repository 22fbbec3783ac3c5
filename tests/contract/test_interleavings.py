"""Held interleavings of the whole core over real storage (Azurite) and each training service in turn.

`tests/unit/interleavings/` tries many more places, in memory; here the few that matter meet the real clients.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
from attrs import define, field
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from function_app.azure.storage import AzureBlobs
from function_app.container import assemble
from function_app.domain.cloud_events import OutgoingEvent
from function_app.domain.drop import Drop
from function_app.domain.receipt import Receipt, Status
from function_app.jobspec.schema import JobSpec
from function_app.operations.service import Kedja
from function_app.ports.training_service import RECEIPT_TAG, Job, JobRequest, JobStatus, TrainingService
from function_app.settings import Settings
from tests.contract.backend import Backend
from tests.unit.interleaving import Meanwhile

MODEL = b"weights"
RESULT = {
    "version": 1,
    "result": "completed",
    "exit_code": 0,
    "metrics": {"accuracy": 0.9},
    "files": [{"path": "model.npz", "size": len(MODEL), "sha256": hashlib.sha256(MODEL).hexdigest()}],
}
OUTPUTS = {"model.npz": MODEL, ".kedja-manifest.json": json.dumps(RESULT).encode()}


@define
class Scripted:
    """The real service, with jobs that do what the test wants in place of training."""

    backend: Backend
    outcomes: Mapping[str, int] = field(factory=dict)
    """Exit codes by attempt; 0 where there is none."""

    def submit(self, request: JobRequest) -> Job:
        asked = self.backend.job(
            request.name,
            experiment=request.document["experiment_name"],
            receipt=request.document["tags"][RECEIPT_TAG],
            log="epoch 1\n",
            outputs=OUTPUTS,
            exit_code=self.outcomes.get(request.name.rpartition("-")[2], 0),
            hold=True,
        )
        return self.backend.service.submit(asked)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the rest of the port
        return getattr(self.backend.service, name)


@define
class Recorder:
    """Takes what is published."""

    published: list[OutgoingEvent] = field(factory=list)

    def publish(self, announcements: Sequence[OutgoingEvent]) -> None:
        self.published.extend(announcements)

    def types(self) -> list[str]:
        return [one.type.removeprefix("Kedja.") for one in {one.id: one for one in self.published}.values()]


class NoQueues:
    """Messages of these tests are what the tests do."""

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        """Take it."""


@define
class Stage:
    """One experiment, and as many hosts as a test wants."""

    backend: Backend
    storage: BlobServiceClient
    training: Scripted
    publisher: Recorder
    experiment: str

    def host(self, *, training: Callable[[object], Meanwhile] | None = None) -> Kedja:
        service = training(self.training) if training else self.training
        return assemble(
            Settings(quiet_period=0),
            blobs=AzureBlobs(self.storage),
            queues=NoQueues(),
            training=cast("TrainingService", service),
            publisher=self.publisher,
            account_url=self.storage.url.rstrip("/"),
        )

    def drop(self, data: bytes = b"1") -> None:
        for container, name, content in (("scripts", "train.py", b"print(1)\n"), ("data", "x.bin", data)):
            self.storage.get_blob_client(container, f"{self.experiment}/{name}").upload_blob(content, overwrite=True)

    def take(self, kedja: Kedja) -> Receipt:
        return kedja.settler.process_drop(Drop.list_drop(kedja.blobs, self.experiment), JobSpec(), trigger="test")

    def end(self, job: str, status: JobStatus = JobStatus.COMPLETED) -> None:
        self.backend.release(job)
        self.backend.run_until(job, status)

    def receipts(self) -> list[Receipt]:
        container = self.storage.get_container_client("receipts")
        names = list(container.list_blob_names(name_starts_with=f"{self.experiment}/"))
        found = [Receipt.from_bytes(container.download_blob(name).readall()) for name in names if "latest" not in name]
        return sorted(found, key=lambda receipt: receipt.received_at)

    def jobs(self) -> list[str]:
        return sorted(job.name for job in self.backend.service.list() if job.experiment == self.experiment)

    def versions(self) -> list[str]:
        return [one.version for one in self.backend.service.models(self.experiment)]


@pytest.fixture
def stage(backend: Backend, azurite: str) -> Iterator[Stage]:
    with BlobServiceClient.from_connection_string(azurite) as storage:
        yield Stage(backend, storage, Scripted(backend), Recorder(), f"race-{uuid.uuid4().hex[:8]}")


def test_two_hosts_submit_the_same_drop(stage: Stage) -> None:
    stage.drop()
    fast = stage.host()
    slow = stage.host(training=lambda port: Meanwhile(port, "submit", lambda: stage.take(fast)))
    receipt = stage.take(slow)
    assert (receipt.status, len(receipt.attempts)) == (Status.SUBMITTED, 1)
    assert stage.jobs() == [receipt.job]
    assert stage.publisher.types() == ["JobSubmitted"]


@pytest.mark.parametrize("lease_is_lost", [False, True], ids=["under the lease", "the lease was lost"])
def test_two_registrars_between_look_up_and_creation(stage: Stage, *, lease_is_lost: bool) -> None:
    stage.drop()
    other = stage.host()
    job = str(stage.take(other).job)
    stage.end(job)

    def meanwhile() -> None:
        if lease_is_lost:
            (receipt,) = stage.receipts()
            blob = stage.storage.get_blob_client("receipts", f"{receipt.name}.json")
            BlobLeaseClient(blob).break_lease(lease_break_period=0)
        other.tracker.sync(job)

    stage.host(training=lambda port: Meanwhile(port, "register_model", meanwhile)).tracker.sync(job)
    other.tracker.sync(job)
    (receipt,) = stage.receipts()
    assert receipt.status is Status.REGISTERED
    assert receipt.model is not None
    assert stage.versions() == [receipt.model.version]
    assert stage.publisher.types() == ["JobSubmitted", "JobCompleted", "ModelRegistered"]
    copied = stage.storage.get_container_client("models").list_blob_names(name_starts_with=f"{stage.experiment}/")
    prefix = f"{stage.experiment}/{receipt.model.version}"
    assert {f"{prefix}/manifest.json", f"{prefix}/model.npz"} <= set(copied)


@pytest.mark.parametrize("after", [False, True], ids=["before the job is made", "after it is made"])
def test_a_cancel_during_submission(stage: Stage, *, after: bool) -> None:
    stage.drop()
    other = stage.host()

    def cancel() -> None:
        (receipt,) = stage.receipts()
        other.job_commands.cancel(str(receipt.job))

    receipt = stage.take(stage.host(training=lambda port: Meanwhile(port, "submit", cancel, after=after)))
    assert receipt.status is Status.CANCELING
    stage.backend.run_until(str(receipt.job), JobStatus.CANCELED)
    other.tracker.sync(str(receipt.job))
    (receipt,) = stage.receipts()
    assert receipt.status is Status.CANCELED
    assert stage.publisher.types() == ["JobCanceled"]
    assert stage.versions() == []


def test_a_drop_again_after_a_failure_that_two_hosts_see(stage: Stage) -> None:
    stage.drop()
    stage.training.outcomes = {"1": 3}
    fast = stage.host()
    first = str(stage.take(fast).job)
    stage.end(first, JobStatus.FAILED)
    fast.tracker.sync(first)
    (receipt,) = stage.receipts()
    assert receipt.status is Status.FAILED
    assert stage.take(fast).status is Status.FAILED  # an event that came twice is no drop
    later = receipt.replace(newest_upload=receipt.newest_upload.replace(year=2020))
    fast.receipts.change(receipt, lambda _: later)  # what is written again within a second has the same time

    slow = stage.host(training=lambda port: Meanwhile(port, "computes", lambda: stage.take(fast)))
    again = stage.take(slow)
    assert [attempt.number for attempt in again.attempts] == [1, 2]
    assert stage.jobs() == sorted(attempt.job for attempt in again.attempts)


def test_an_older_job_that_ends_last_is_no_champion(stage: Stage) -> None:
    kedja = stage.host()
    stage.drop(b"old")
    older = stage.take(kedja)
    stage.backend.run_until(str(older.job), JobStatus.RUNNING)
    kedja.tracker.sync(str(older.job))
    stage.drop(b"new")
    kedja.receipts.change(older, _older)
    newer = stage.take(kedja)
    for receipt in (newer, older):
        stage.end(str(receipt.job))
        kedja.tracker.sync(str(receipt.job))
    first, second = (kedja.receipts.load(one.ref) for one in (older, newer))
    assert (first.status, second.status) == (Status.REGISTERED, Status.REGISTERED)
    assert first.model is not None
    assert second.model is not None
    assert (first.model.champion, second.model.champion) == (False, True)
    champion, latest = kedja.champions.find(stage.experiment), kedja.receipts.latest(stage.experiment)
    assert champion is not None
    assert latest is not None
    assert (champion.version, latest.drop) == (second.model.version, second.drop)


def _older(receipt: Receipt) -> Receipt:
    """Return the receipt as if it had been taken a minute ago: the storage's clock counts seconds."""
    return receipt.replace(sequence=receipt.sequence - 60).with_attempt(sequence=receipt.sequence - 60)
