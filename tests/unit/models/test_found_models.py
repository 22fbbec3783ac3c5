"""The model that a job's own result names, and what the receipt says about the job."""

from typing import Any

import pytest

from function_app.domain import naming
from function_app.domain.cloud_events import EventType
from function_app.domain.receipt import Receipt, Status
from function_app.models.artifacts import ModelManifest
from function_app.models.job_result import LONGEST_REASON, JobResult
from function_app.models.result_document import OutputFile
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.simulation import World

REASON = "The model is outputs/result/net.npz, the Link that was saved last."
FILES = {"result/net.npz": b"net", "result/log": b"[]", "other.npz": b"other"}


@pytest.fixture
def submitted(world: World) -> World:
    world.drop_digits()
    world.rest()
    return world


def registered_path(world: World) -> str:
    return ModelManifest.from_bytes(world.blobs.read(naming.MODELS, "digits/1/manifest.json").data).path


@pytest.mark.parametrize("model", ["result/net.npz", "result"])
def test_the_file_or_folder_that_the_job_names_is_the_model(submitted: World, model: str) -> None:
    submitted.run_job(files=FILES, model=model, model_reason=REASON, notes=["first", "second"])
    receipt = submitted.receipt()
    assert (receipt.status, registered_path(submitted)) == (Status.REGISTERED, model)
    assert receipt.notes == ("first", "second", REASON)


@pytest.mark.parametrize(
    ("files", "is_mlflow"),
    [
        ({"model/MLmodel": b"", "model/model.onnx": b"x"}, True),
        ({"model/MODEL_CARD.md": b"", "model/model.npz": b"x"}, False),
        ({"model/inner/MLmodel": b"", "model/model.npz": b"x"}, False),
    ],
)
def test_a_folder_with_mlflows_description_is_registered_as_mlflows(
    submitted: World, *, files: dict[str, bytes], is_mlflow: bool
) -> None:
    submitted.run_job(files=files, model="model", model_reason=REASON)
    assert registered_path(submitted) == "model"
    (registration,) = submitted.training.registrations
    assert (registration.path, registration.is_mlflow) == ("outputs/model", is_mlflow)


def test_a_file_in_mlflows_folder_is_a_custom_model(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"kedja: {register: {path: outputs/model/model.npz}}\n")
    world.drop_digits()
    world.rest()
    world.run_job(files={"model/MLmodel": b"", "model/model.npz": b"x"}, model="model", model_reason=REASON)
    (registration,) = world.training.registrations
    assert (registration.path, registration.is_mlflow) == ("outputs/model/model.npz", False)


def test_job_yaml_comes_before_what_the_job_names(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"kedja: {register: {path: outputs/other.npz}}\n")
    world.drop_digits()
    world.rest()
    world.run_job(files=FILES, model="result/net.npz", model_reason=REASON)
    assert registered_path(world) == "other.npz"
    assert world.receipt().notes == ("The model is outputs/other.npz, as kedja.register.path in job.yaml says.",)


@pytest.mark.parametrize(
    "model",
    ["", ".", "..", "result/", "/result", "../model.npz", "result/net.npz/", "gone.npz", "x" * 4096],
)
def test_a_model_that_is_not_among_the_files_is_not_taken(submitted: World, model: str) -> None:
    submitted.run_job(files={**FILES, "model.npz": b"own"}, model=model, model_reason="Trust me.")
    assert registered_path(submitted) == "model.npz"
    assert submitted.receipt().notes == ("The model is outputs/model.npz.",)


def test_without_a_model_the_reason_says_what_was_written_elsewhere(submitted: World) -> None:
    elsewhere = "Outside of outputs it wrote: weights.bin."
    submitted.run_job(files={"a.txt": b""}, model=None, model_reason=elsewhere, notes=["a note"])
    receipt = submitted.receipt()
    assert receipt.status is Status.NOT_REGISTERED
    assert receipt.reason == f"The job did not write outputs/model.npz. It wrote: a.txt. {elsewhere}"
    assert receipt.notes == ("a note",)


def test_a_long_reason_is_shortened() -> None:
    files = {"x" * 1024: OutputFile(1, "0" * 64)}
    path, problem = JobResult(result="completed", model_reason="y" * LONGEST_REASON, files=files).model_path(None)
    assert (path, len(problem)) == (None, LONGEST_REASON)


@pytest.mark.parametrize(
    ("gate", "result", "status"),
    [
        ("", {"exit_code": 1}, Status.FAILED),
        ("kedja: {register: {when: {metric: accuracy, at_least: 0.9}}}\n", {}, Status.NOT_REGISTERED),
        ("", {}, Status.REGISTERED),
    ],
)
def test_every_end_of_a_job_has_its_notes(world: World, gate: str, result: dict[str, Any], status: Status) -> None:
    world.drop("scripts/digits/job.yaml", gate.encode())
    world.drop_digits()
    world.rest()
    world.run_job(notes=["scipy==1.2 was replaced by scipy 1.16"], metrics={"accuracy": 0.5}, **result)
    receipt = world.receipt()
    assert receipt.status is status
    assert receipt.notes[0] == "scipy==1.2 was replaced by scipy 1.16"


def test_notes_are_in_no_event(submitted: World) -> None:
    submitted.run_job(notes=["a note"])
    event = submitted.publisher.published[-1]
    assert event.type is EventType.MODEL_REGISTERED
    assert not event.data.keys() & {"notes", "model_reason"}


def test_the_next_attempt_begins_without_notes(submitted: World) -> None:
    name = submitted.run_job(exit_code=1, notes=["a note"])
    assert submitted.receipt().notes == ("a note",)
    Client(api_over(lambda: submitted.kedja, LOCAL)).post(f"/api/jobs/{name}/retry")
    assert submitted.receipt().notes == ()


def test_the_api_shows_notes(submitted: World) -> None:
    name = submitted.run_job(notes=["a note"])
    client = Client(api_over(lambda: submitted.kedja, LOCAL))
    expected = ["a note", "The model is outputs/model.npz."]
    assert client.get_json("/api/drops/digits/latest")["notes"] == expected
    assert client.get_json(f"/api/jobs/{name}")["notes"] == expected


def test_a_receipt_without_notes_is_stored_as_earlier_releases_did(submitted: World) -> None:
    document = submitted.receipt().to_bytes()
    assert b"notes" not in document
    assert Receipt.from_bytes(document).notes == ()
