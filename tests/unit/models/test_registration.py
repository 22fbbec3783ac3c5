import json
import re

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.cloud_events import EventType
from function_app.domain.receipt import Status
from function_app.errors import StorageUnavailable
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Champions
from function_app.models.job_result import LONGEST_REASON, METRICS_CARRIED
from function_app.models.lineage import LONGEST_VALUE
from function_app.ports.storage import CopyStatus
from function_app.ports.training_service import JobStatus
from tests.unit.memory import Call
from tests.unit.simulation import World

FILES = {"model.npz": b"weights", "plots/loss.png": b"png", "manifest.json": b"the job's own"}


@pytest.fixture
def submitted(world: World) -> World:
    world.drop_digits()
    world.rest()
    return world


def job(world: World) -> str:
    return world.live_jobs()[-1].name


def with_gate(when: str, *, world: World) -> None:
    world.drop("scripts/digits/job.yaml", f"kedja: {{register: {{when: {when}}}}}\n".encode())
    world.drop_digits()
    world.rest()


def test_a_completed_jobs_model_is_one_version_with_its_lineage(submitted: World) -> None:
    name = submitted.run_job(metrics={"accuracy": 0.97})
    receipt = submitted.receipt()
    (version,) = submitted.training.versions
    assert version.tags["kedja_job"] == name
    assert version.tags["kedja_receipt"] == receipt.name
    assert version.tags["kedja_data_sha256"] == receipt.received.data_sha256
    assert version.tags["kedja_scripts_sha256"] == receipt.received.scripts_sha256
    assert version.tags["kedja_environment"] == "azureml:kedja-chainer:1"
    assert version.tags["kedja_trigger"] == receipt.trigger
    assert json.loads(version.properties["kedja_metrics"]) == {"accuracy": 0.97}


def test_what_a_version_says_of_itself_is_as_long_as_the_service_takes(world: World) -> None:
    conda = "".join(f"  - package{number}=1.0\n" for number in range(200))
    world.drop("scripts/digits/conda.yml", f"dependencies:\n{conda}".encode())
    world.drop("scripts/digits/job.yaml", b"environment: {image: docker.io/a/b:1, conda_file: conda.yml}\n")
    world.drop_digits()
    world.rest()
    world.run_job(metrics={f"metric {number:02}": 0.5 for number in range(90)})
    (version,) = world.training.versions
    assert re.fullmatch(r"docker\.io/a/b:1 sha256:[0-9a-f]{64}", version.tags["kedja_environment"])
    assert max(map(len, [*version.tags.values(), *version.properties.values()])) <= LONGEST_VALUE
    assert "metric 00" in json.loads(version.properties["kedja_metrics"])
    attempt = world.receipt().attempt
    assert attempt is not None
    assert len(attempt.metrics) == 90


def test_a_job_of_many_metrics_has_them_all_in_its_manifest_alone(world: World) -> None:
    with_gate("{metric: zuletzt, at_least: 0.5}", world=world)
    metrics = {f"metric {number:05}": 0.5 for number in range(14_000)} | {"zuletzt": 0.5}
    world.run_job(metrics=metrics)
    manifest = ModelManifest.from_bytes(world.blobs.read(naming.MODELS, "digits/1/manifest.json").data)
    assert manifest.metrics == metrics
    champion = world.kedja.champions.find("digits")
    attempt = world.receipt().attempt
    assert champion is not None
    assert attempt is not None
    event = world.publisher.published[-1]
    assert event.type is EventType.MODEL_REGISTERED
    for carried, total in (
        (champion.metrics, champion.metrics_total),
        (attempt.metrics, attempt.metrics_total),
        (event.data["metrics"], event.data["metrics_total"]),
    ):
        assert list(carried) == ["zuletzt", *(f"metric {number:05}" for number in range(METRICS_CARRIED - 1))]
        assert total == len(metrics)


@pytest.mark.parametrize("gate", ["at_least: 0.9", "at_most: 0.1"])
def test_a_job_of_many_metrics_that_the_gate_refuses_tells_a_hundred(world: World, gate: str) -> None:
    with_gate(f"{{metric: zuletzt, {gate}}}", world=world)
    world.run_job(metrics={f"metric {number:05}": 0.5 for number in range(500)} | {"zuletzt": 0.5, "x" * 256: 0.5})
    told = world.publisher.published[-1].data
    assert (told["status"], len(told["metrics"]), told["metrics_total"]) == ("not_registered", METRICS_CARRIED, 502)
    assert told["metrics"]["zuletzt"] == 0.5


def test_a_job_that_failed_tells_a_hundred_metrics_and_the_beginning_of_its_reason(submitted: World) -> None:
    submitted.run_job(metrics={str(number): 0.5 for number in range(500)}, exit_code=1, reason="r" * (1 << 20))
    attempt = submitted.receipt().attempt
    assert attempt is not None
    assert (len(attempt.metrics), attempt.metrics_total) == (METRICS_CARRIED, 500)
    assert submitted.receipt().reason == "r" * LONGEST_REASON


def test_a_result_that_names_a_file_no_blob_can_be_called_ends_with_a_short_reason(submitted: World) -> None:
    name = job(submitted)
    submitted.training.finish(name, files={"model.npz": b"weights", "x" * (1 << 20): b""})
    submitted.rest()
    receipt = submitted.receipt()
    assert (receipt.status, submitted.training.versions) == (Status.NOT_REGISTERED, [])
    assert "at most 1024 characters" in str(receipt.reason)


def test_files_called_as_the_manifest_is_do_not_get_in_each_others_way(submitted: World) -> None:
    submitted.run_job(files={"model.npz": b"weights", "manifest.json": b"one", "outputs/manifest.json": b"two"})
    assert submitted.receipt().status is Status.REGISTERED
    assert submitted.blobs.read(naming.MODELS, "digits/1/outputs/manifest.json").data == b"one"
    assert submitted.blobs.read(naming.MODELS, "digits/1/outputs/outputs/manifest.json").data == b"two"


def test_its_artifacts_are_copied_and_its_manifest_comes_last(submitted: World) -> None:
    submitted.run_job(files=FILES)
    receipt = submitted.receipt()
    assert receipt.model is not None
    assert submitted.blobs.names_in(naming.MODELS, "digits/1/") == [
        "digits/1/manifest.json",
        "digits/1/model.npz",
        "digits/1/outputs/manifest.json",
        "digits/1/plots/loss.png",
    ]
    manifest = ModelManifest.from_bytes(submitted.blobs.read(naming.MODELS, "digits/1/manifest.json").data)
    assert {(file.path, file.size) for file in manifest.files} == {
        ("model.npz", 7),
        ("plots/loss.png", 3),
        ("outputs/manifest.json", 13),
    }
    assert all(file.sha256 and len(file.sha256) == 64 for file in manifest.files)
    assert (manifest.path, manifest.job, manifest.receipt) == ("model.npz", receipt.job, receipt.name)
    assert (receipt.model.files, receipt.model.size, receipt.model.champion) == (3, 23, True)
    writes = [call for call in submitted.blobs.calls if call.container == naming.MODELS and call.operation != "page"]
    copies = [index for index, call in enumerate(writes) if call.operation == "copy"]
    committed = writes.index(Call(operation="create", container="models", name="digits/1/manifest.json"))
    assert max(copies, default=-1) < committed


def test_no_byte_of_an_artifact_is_read(submitted: World) -> None:
    submitted.run_job(files=FILES)
    read = {call.name for call in submitted.blobs.calls if call.operation == "read" and call.container == "azureml"}
    assert {name.rpartition("/")[2] for name in read} == {".kedja-manifest.json"}


def test_it_waits_for_what_is_still_being_uploaded(submitted: World) -> None:
    name = job(submitted)
    submitted.training.move(name, JobStatus.COMPLETED)
    submitted.go_on(60)
    assert (submitted.receipt().status, submitted.training.versions) == (Status.COMPLETED, [])
    submitted.training.write_outputs(name, {"model.npz": b"weights"}, metrics={}, exit_code=0)
    submitted.rest()
    assert submitted.receipt().status is Status.REGISTERED


def test_it_waits_for_a_file_that_the_job_says_it_made(submitted: World) -> None:
    name = job(submitted)
    submitted.training.write_outputs(name, {"model.npz": b"weights"}, metrics={}, exit_code=0)
    place = f"ExperimentRun/dcid.{name}/outputs/model.npz"
    submitted.blobs.upload("azureml", place, b"wei")
    submitted.training.move(name, JobStatus.COMPLETED)
    submitted.go_on(60)
    assert submitted.training.versions == []
    submitted.blobs.upload("azureml", place, b"weights")
    submitted.rest()
    assert submitted.receipt().status is Status.REGISTERED


def test_it_does_not_wait_for_ever(submitted: World) -> None:
    submitted.training.move(job(submitted), JobStatus.COMPLETED)
    submitted.rest()
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason) == (
        Status.NOT_REGISTERED,
        "The job completed, but its outputs lack .kedja-manifest.json.",
    )


def test_outputs_that_go_while_they_are_copied_leave_no_version_and_no_copies(submitted: World) -> None:
    name = job(submitted)
    submitted.blobs.hold_copies = True
    submitted.training.finish(name, files=FILES)
    submitted.go_on(60)
    assert (len(submitted.training.current()), len(submitted.blobs.names_in(naming.MODELS))) == (1, 3)
    submitted.blobs.delete("azureml", f"ExperimentRun/dcid.{name}/outputs/model.npz")
    submitted.rest()
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason, receipt.model) == (
        Status.NOT_REGISTERED,
        "The job completed, but its outputs lack model.npz.",
        None,
    )
    assert (submitted.training.current(), submitted.blobs.names_in(naming.MODELS)) == ([], [])


def test_outputs_that_go_when_all_are_copied_are_registered(submitted: World, mocker: MockerFixture) -> None:
    name = job(submitted)
    patched = mocker.patch.object(Champions, "challenge", side_effect=StorageUnavailable("Storage is down."))
    submitted.training.finish(name, files=FILES, metrics={"accuracy": 0.97})
    submitted.go_on(8)
    assert submitted.receipt().status is Status.COMPLETED
    mocker.stop(patched)
    submitted.blobs.delete("azureml", f"ExperimentRun/dcid.{name}/outputs/model.npz")
    submitted.rest()
    receipt = submitted.receipt()
    assert receipt.model is not None
    assert receipt.attempt is not None
    assert (receipt.status, receipt.model.champion, receipt.model.files) == (Status.REGISTERED, True, 3)
    assert (receipt.attempt.metrics, receipt.attempt.exit_code) == ({"accuracy": 0.97}, 0)
    assert submitted.publisher.types()[-1] == "Kedja.ModelRegistered"


@pytest.mark.parametrize("status", [CopyStatus.SUCCESS, CopyStatus.FAILED])
def test_it_waits_for_copies_and_starts_failed_ones_again(submitted: World, status: CopyStatus) -> None:
    submitted.blobs.hold_copies = True
    submitted.training.finish(job(submitted), files=FILES)
    submitted.go_on(300)
    receipt = submitted.receipt()
    assert receipt.model is not None
    assert (receipt.status, receipt.model.copied, receipt.model.files) == (Status.COMPLETED, 0, 3)
    assert submitted.blobs.get(naming.MODELS, "digits/1/manifest.json") is None
    submitted.blobs.hold_copies = False
    submitted.blobs.end_copies(status)
    submitted.rest()
    assert (submitted.receipt().status, len(submitted.training.versions)) == (Status.REGISTERED, 1)
    assert submitted.blobs.read(naming.MODELS, "digits/1/model.npz").data == b"weights"


def test_an_output_that_changed_after_its_copy_is_copied_again(submitted: World) -> None:
    name = job(submitted)
    submitted.blobs.hold_copies = True
    submitted.training.finish(name, files=FILES)
    submitted.go_on(60)
    submitted.blobs.end_copies()
    submitted.blobs.hold_copies = False
    submitted.blobs.upload("azureml", f"ExperimentRun/dcid.{name}/outputs/model.npz", b"WEIGHTS")
    submitted.rest()
    assert submitted.blobs.read(naming.MODELS, "digits/1/model.npz").data == b"WEIGHTS"


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({"model.npz": b"", "other.npz": b""}, "model.npz"),
        ({"snapshot.npz": b"", "log.txt": b""}, "snapshot.npz"),
    ],
)
def test_the_model_is_the_usual_file_or_the_only_one(submitted: World, files: dict[str, bytes], path: str) -> None:
    submitted.run_job(files=files)
    manifest = ModelManifest.from_bytes(submitted.blobs.read(naming.MODELS, "digits/1/manifest.json").data)
    assert manifest.path == path


@pytest.mark.parametrize("files", [{}, {"log.txt": b""}, {"one.npz": b"", "two.npz": b""}])
def test_without_a_model_nothing_is_registered(submitted: World, files: dict[str, bytes]) -> None:
    submitted.run_job(files=files)
    receipt = submitted.receipt()
    assert (receipt.status, submitted.training.versions) == (Status.NOT_REGISTERED, [])
    assert "The job did not write outputs/model.npz. It wrote: " in str(receipt.reason)
    assert submitted.opened() == []


@pytest.mark.parametrize("path", ["outputs/export", "outputs/best.npz"])
def test_job_yaml_names_the_file_or_folder_and_the_model(world: World, path: str) -> None:
    world.drop("scripts/digits/job.yaml", f"kedja: {{register: {{model: mnist, path: {path}}}}}\n".encode())
    world.drop_digits()
    world.rest()
    world.run_job(files={"export/a": b"a", "best.npz": b"b", "exported": b"c"})
    receipt = world.receipt()
    assert receipt.model is not None
    assert (receipt.model.model, receipt.model.path) == ("mnist", "models/mnist/1/")


class TestGate:
    def test_not_met_is_told_with_its_figures(self, world: World) -> None:
        with_gate("{metric: accuracy, at_least: 0.95}", world=world)
        world.run_job(metrics={"accuracy": 0.9})
        receipt = world.receipt()
        assert (receipt.status, world.training.versions) == (Status.NOT_REGISTERED, [])
        assert receipt.reason == "accuracy is 0.9, but must be at least 0.95."
        assert world.publisher.types()[-1] == "Kedja.ModelNotRegistered"
        assert world.publisher.published[-1].data["metrics"] == {"accuracy": 0.9}
        assert world.opened() == []

    def test_met_registers(self, world: World) -> None:
        with_gate("{metric: accuracy, at_least: 0.95}", world=world)
        world.run_job(metrics={"accuracy": 0.96})
        assert world.receipt().status is Status.REGISTERED

    def test_no_better_than_the_champion_is_told(self, world: World) -> None:
        with_gate("{metric: loss, goal: minimize, better_than: champion}", world=world)
        world.run_job(metrics={"loss": 0.5})
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"more digits")
        world.rest()
        world.run_job(metrics={"loss": 0.5})
        assert world.receipts()[-1].reason == "loss is 0.5, no better than the champion's 0.5."


def test_a_version_that_the_service_will_never_accept_ends_with_its_reason(submitted: World) -> None:
    submitted.training.model_refusal = "a tag is too long"
    submitted.run_job()
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason) == (Status.NOT_REGISTERED, "a tag is too long")
    assert submitted.publisher.types()[-1] == "Kedja.ModelNotRegistered"
    assert submitted.opened() == []


def test_a_retry_of_a_registered_job_makes_a_version_of_its_own(submitted: World) -> None:
    first = submitted.run_job()
    submitted.kedja.job_commands.retry(first)
    submitted.run_job(files={"model.npz": b"other weights"})
    receipt = submitted.receipt()
    assert receipt.model is not None
    assert receipt.model.version == "2"
    assert submitted.blobs.read(naming.MODELS, "digits/1/model.npz").data == b"weights"
    assert submitted.blobs.read(naming.MODELS, "digits/2/model.npz").data == b"other weights"


def test_events_and_rounds_during_a_long_copy_do_not_add_up(submitted: World) -> None:
    submitted.blobs.hold_copies = True
    submitted.training.finish(job(submitted))
    for _ in range(12):
        submitted.go_on(300)
        submitted.reconcile()
    assert len(submitted.queues.messages) == 1
