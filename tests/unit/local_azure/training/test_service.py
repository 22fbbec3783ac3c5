from pathlib import Path
from unittest.mock import MagicMock

import psutil
import pytest
from pytest_mock import MockerFixture

from function_app.errors import ComputeRefused, InvalidSettings, JobNotFound, JobRefused
from function_app.ports.metrics import RunSeries
from function_app.ports.training_service import BlobFolder, JobRequest, JobStatus, TrainingService
from local_azure.training.job_store import JobState, ProcessId, Runner, RunRecord
from local_azure.training.mlflow_client import MlflowClient
from local_azure.training.service import LocalTrainingService, connect

DOCUMENT = {"command": "true", "compute": "gpu-cluster", "experiment_name": "digits"}
RUN = RunRecord(run_id="r", experiment_id="1", artifacts="ExperimentRun/1/r/artifacts")


@pytest.fixture
def mlflow(mocker: MockerFixture) -> MagicMock:
    mlflow: MagicMock = mocker.create_autospec(MlflowClient, instance=True)
    mlflow.address = "http://mlflow"
    return mlflow


@pytest.fixture
def service(tmp_path: Path, mlflow: MagicMock, mocker: MockerFixture) -> LocalTrainingService:
    mocker.patch("local_azure.training.service.MlflowClient", return_value=mlflow)
    environ = {
        "KEDJA_LOCAL_TRAINING": str(tmp_path),
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "KEDJA_LOCAL_COMPUTES": "gpu-cluster, cpu",
    }
    return connect(environ)


def test_is_a_training_service(service: LocalTrainingService) -> None:
    port: TrainingService = service
    assert [*port.list()] == []


@pytest.mark.parametrize("missing", ["KEDJA_LOCAL_TRAINING", "MLFLOW_TRACKING_URI"])
def test_names_the_setting_that_is_missing(missing: str, tmp_path: Path) -> None:
    environ = {"KEDJA_LOCAL_TRAINING": str(tmp_path), "MLFLOW_TRACKING_URI": "http://mlflow"}
    del environ[missing]
    with pytest.raises(InvalidSettings, match=missing):
        connect(environ)


def test_submission_needs_nothing_but_the_store(service: LocalTrainingService, mlflow: MagicMock) -> None:
    job = service.submit(JobRequest(name="a", document=DOCUMENT))
    assert (job.status, job.detail) == (JobStatus.STARTING, "Queued")
    assert mlflow.mock_calls == []


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        (
            "a",
            {**DOCUMENT, "compute": "other"},
            "compute: 'other' does not exist on this machine. Use one of: cpu, gpu-cl",
        ),
        ("../a", DOCUMENT, "name: '../a'"),
        ("a", {**DOCUMENT, "command": ""}, "command"),
    ],
)
def test_refused_jobs_are_not_stored(
    service: LocalTrainingService, name: str, document: dict[str, str], message: str
) -> None:
    with pytest.raises(JobRefused, match=message):
        service.submit(JobRequest(name=name, document=document))
    with pytest.raises(JobNotFound):
        service.get(name)


def test_a_job_to_be_canceled_is_canceling_until_it_has_ended(service: LocalTrainingService) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    service.cancel("a")
    assert service.get("a").status is JobStatus.CANCELING
    service.store.end("a", JobState.CANCELED)
    assert service.get("a").status is JobStatus.CANCELED
    service.cancel("a")
    assert service.get("a").status is JobStatus.CANCELED


def test_an_error_is_said_when_the_job_has_ended(service: LocalTrainingService) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    service.store.claim()
    service.store.set_running("a", ProcessId(pid=1, created=0))
    service.store.set_finalizing("a", JobState.FAILED, "exit code 1")
    assert (service.get("a").status, service.get("a").error) == (JobStatus.RUNNING, None)
    service.store.end("a", JobState.FAILED, "exit code 1")
    assert service.get("a").error == "exit code 1"


def test_answers_before_there_is_a_run(service: LocalTrainingService, mlflow: MagicMock) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    assert service.metrics("a") == {}
    assert service.logs("a").text == ""
    assert "mlflow" not in service.get("a").links
    mlflow.metrics.assert_not_called()


def test_outputs_metrics_and_links_are_the_runs(service: LocalTrainingService, mlflow: MagicMock) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    service.store.set_run("a", RUN)
    mlflow.metrics.return_value = {"accuracy": 0.5}
    assert service.outputs("a") == BlobFolder(container="azureml", prefix="ExperimentRun/1/r/artifacts/outputs/")
    assert service.metrics("a") == {"accuracy": 0.5}
    assert service.get("a").links["mlflow"] == "http://mlflow/#/experiments/1/runs/r"


def test_computes_say_whether_the_runner_runs(service: LocalTrainingService) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    service.store.claim()
    stopped = service.computes()[0]
    assert (stopped.name, stopped.state, stopped.max_nodes) == ("gpu-cluster", "Stopped", 0)
    assert "make up" in (stopped.error or "")
    me = psutil.Process()
    service.store.set_runner(Runner(process=ProcessId(pid=me.pid, created=me.create_time()), concurrency=2))
    gpu, cpu = service.computes()
    assert (gpu.state, gpu.nodes, gpu.max_nodes, gpu.error) == ("Running", 1, 2, None)
    assert (cpu.name, cpu.nodes) == ("cpu", 0)


def test_a_compute_that_is_made_takes_jobs_and_stays(service: LocalTrainingService, tmp_path: Path) -> None:
    made = service.create_compute("large", size="Standard_NC6s_v3", max_nodes=2)
    assert (made.name, made.size, made.max_nodes) == ("large", "Standard_NC6s_v3", 2)
    assert service.submit(JobRequest(name="a", document={**DOCUMENT, "compute": "large"})).status is JobStatus.STARTING
    assert service.create_compute("large", size="standard_nc6s_v3", max_nodes=3).max_nodes == 3
    assert [compute.name for compute in service.computes()] == ["large", "gpu-cluster", "cpu"]
    assert [path.name for path in tmp_path.glob("computes*")] == ["computes.json"]


@pytest.mark.parametrize(("name", "size"), [("large", "Standard_NC24"), ("cpu", "Standard_NC6s_v3"), ("a/b", "x")])
def test_a_compute_that_is_another_is_refused(service: LocalTrainingService, name: str, size: str) -> None:
    service.create_compute("large", size="Standard_NC6s_v3", max_nodes=2)
    with pytest.raises(ComputeRefused):
        service.create_compute(name, size=size, max_nodes=1)


def test_series_of_a_job_without_a_run_are_empty(service: LocalTrainingService) -> None:
    service.submit(JobRequest(name="a", document=DOCUMENT))
    assert service.metric_series("a") == RunSeries()
    with pytest.raises(JobNotFound):
        service.metric_series("nobody")
