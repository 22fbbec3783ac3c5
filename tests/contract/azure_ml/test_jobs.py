"""The calls that reach Azure ML's control plane, and what becomes of its answers. The stand-in sees every one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from function_app.azure import ml_workspace
from function_app.azure.ml_mapping import DOCUMENT_PROPERTY
from function_app.azure.ml_service import AzureMLService
from function_app.errors import (
    AppNotAllowed,
    JobConflict,
    JobRefused,
    ModelRefused,
    TrainingServiceError,
    TrainingServiceUnavailable,
)
from function_app.ports.training_service import RECEIPT_TAG, JobRequest, JobStatus
from tests.contract.azure_ml.job_requests import registration, sweep
from tests.contract.azure_ml_backend import AzureMLBackend, document
from tests.contract.control_plane.plane import ARM_ID, CODE_ID, ControlPlane


class TestSubmit:
    def test_is_exactly_one_put(self, plane: ControlPlane, service: AzureMLService, name: str) -> None:
        with plane.recorded() as calls:
            job = service.submit(JobRequest(name=name, document=document("python train.py")))
        assert [call.short for call in calls] == [f"PUT /jobs/{name} 2025-01-01-preview"]
        assert (job.status, job.detail) == (JobStatus.STARTING, "NotStarted")

    def test_sends_the_document_and_the_releases_code(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        with plane.recorded() as calls:
            service.submit(JobRequest(name=name, document=document("python train.py", receipt="digits/7")))
        sent = calls[0].body["properties"]
        assert sent["jobType"] == "Command"
        assert sent["command"] == "python train.py"
        assert sent["codeId"] == CODE_ID
        assert sent["environmentId"] == f"{ARM_ID}/environments/kedja-chainer/versions/1"
        assert sent["computeId"] == f"{ARM_ID}/computes/gpu-cluster"
        assert sent["experimentName"] == "digits"
        assert sent["tags"] == {RECEIPT_TAG: "digits/7"}
        assert len(sent["properties"][DOCUMENT_PROPERTY]) == 64
        assert sent["inputs"]["scripts"]["uri"] == "azureml://datastores/kedja_snapshots/paths/digits/0/"

    def test_of_a_sweep_is_one_put_too(self, plane: ControlPlane, service: AzureMLService, name: str) -> None:
        with plane.recorded() as calls:
            job = service.submit(sweep(name))
        assert [call.short for call in calls] == [f"PUT /jobs/{name} 2024-01-01-preview"]
        sent = calls[0].body["properties"]
        assert sent["jobType"] == "Sweep"
        assert sent["trial"]["codeId"] == CODE_ID
        assert sent["trial"]["environmentId"] == f"{ARM_ID}/environments/kedja-chainer/versions/1"
        assert sent["limits"]["maxTotalTrials"] == 2
        assert job.status is JobStatus.STARTING

    def test_what_a_sweep_made_is_what_its_best_trial_made(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        service.submit(sweep(name))
        assert service.outputs(name).prefix == f"ExperimentRun/dcid.{name}/outputs/"
        service.submit(JobRequest(name=f"{name}_1", document=document("python train.py")))
        plane.jobs.run(f"{name}_1")
        plane.jobs.end(f"{name}_1", outputs={"model.npz": b"best"})
        plane.jobs.run(name)
        plane.jobs.choose(name, f"{name}_1")
        plane.jobs.end(name)
        assert service.outputs(name).prefix == f"ExperimentRun/dcid.{name}_1/outputs/"
        with plane.recorded() as calls:
            service.register_model(registration(f"model-{name}", name))
        (put,) = (call for call in calls if call.method == "PUT")
        assert put.body["properties"]["modelUri"] == (
            f"azureml://jobs/{name}_1/outputs/artifacts/paths/outputs/model.npz"
        )

    def test_a_version_that_is_refused_for_good_is_told_apart(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        service.submit(JobRequest(name=name, document=document("python train.py")))
        plane.answer(400, method="PUT", path="*/models/*", times=1, message="The tag is too long.")
        with pytest.raises(ModelRefused, match=r"The tag is too long\."):
            service.register_model(registration(f"model-{name}", name))

    def test_twice_is_two_puts_of_one_job(self, plane: ControlPlane, service: AzureMLService, name: str) -> None:
        request = JobRequest(name=name, document=document("python train.py"))
        first = service.submit(request)
        with plane.recorded() as calls:
            assert service.submit(request) == first
        assert [call.short for call in calls] == [f"PUT /jobs/{name} 2025-01-01-preview"]

    def test_after_a_release_finds_the_job_of_before(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        request = JobRequest(name=name, document=document("python train.py"))
        first = service.submit(request)
        connection = service.connection
        released = evolve(connection.workspace, code_id=CODE_ID.replace("versions/1", "versions/2"))
        after = evolve(service, connection=evolve(connection, workspace=released))
        with plane.recorded() as calls:
            assert after.submit(request) == first
        assert [call.method for call in calls] == ["PUT", "GET"]

    def test_of_a_job_that_somebody_else_named_so_is_a_conflict(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        service.submit(JobRequest(name=name, document=document("python train.py", receipt="digits/theirs")))
        with pytest.raises(JobConflict, match="digits/theirs"):
            service.submit(JobRequest(name=name, document=document("python other.py", receipt="digits/ours")))

    def test_whose_answer_is_lost_can_be_repeated(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        request = JobRequest(name=name, document=document("python train.py"))
        held = plane.hold(method="PUT", path=f"*/jobs/{name}", after=True)
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(service.submit, request)
            assert held.entered.wait(30)
            again = service.submit(request)
            held.release()
            assert lost.result() == again

    @pytest.mark.parametrize("status", [400, 409, 413, 422])
    def test_refused_for_good(self, plane: ControlPlane, service: AzureMLService, name: str, status: int) -> None:
        plane.answer(status, method="PUT", message="No such environment: kedja-chainer:9")
        with pytest.raises(JobRefused, match="No such environment: kedja-chainer:9"):
            service.submit(JobRequest(name=name, document=document("python train.py")))

    def test_that_finds_nothing_is_tried_again(self, plane: ControlPlane, service: AzureMLService, name: str) -> None:
        plane.answer(404, method="PUT", message="No such environment: kedja-chainer:9")
        with pytest.raises(TrainingServiceUnavailable, match="No such environment: kedja-chainer:9"):
            service.submit(JobRequest(name=name, document=document("python train.py")))

    def test_without_the_role_is_no_fault_of_the_job(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        plane.answer(403, method="PUT")
        with pytest.raises(AppNotAllowed, match="AzureML Data Scientist"):
            service.submit(JobRequest(name=name, document=document("python train.py")))


class TestGet:
    def test_of_a_job_that_has_not_begun_is_one_call(
        self, plane: ControlPlane, service: AzureMLService, name: str
    ) -> None:
        service.submit(JobRequest(name=name, document=document("python train.py")))
        with plane.recorded() as calls:
            service.get(name)
        assert [call.short for call in calls] == [f"GET /jobs/{name} 2024-01-01-preview"]

    def test_asks_the_run_history_for_times_and_error(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, exit_code=1))
        azure.run_until(name, JobStatus.FAILED)
        with azure.plane.recorded() as calls:
            job = azure.service.get(name)
        assert [call.path.rsplit("/", 2)[-2:] for call in calls] == [["jobs", name], [name, "details"]]
        assert job.error == "The job's process ended with exit code 1."

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("NotStarted", JobStatus.STARTING),
            ("Queued", JobStatus.STARTING),
            ("Preparing", JobStatus.STARTING),
            ("Provisioning", JobStatus.STARTING),
            ("Starting", JobStatus.STARTING),
            ("Running", JobStatus.RUNNING),
            ("Finalizing", JobStatus.RUNNING),
            ("Completed", JobStatus.COMPLETED),
            ("Failed", JobStatus.FAILED),
            ("NotResponding", JobStatus.FAILED),
            ("CancelRequested", JobStatus.CANCELING),
            ("Canceled", JobStatus.CANCELED),
            ("Hibernating", JobStatus.RUNNING),
        ],
    )
    def test_knows_the_words_for_a_status(
        self, plane: ControlPlane, service: AzureMLService, name: str, word: str, status: JobStatus
    ) -> None:
        service.submit(JobRequest(name=name, document=document("python train.py")))
        plane.jobs.move(name, word)
        job = service.get(name)
        assert (job.status, job.detail) == (status, word)

    def test_while_the_run_history_lags_behind_can_be_repeated(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, hold=True))
        azure.plane.jobs.move(name, "Running")
        azure.plane.answer(404, path="*/details")
        with pytest.raises(TrainingServiceUnavailable):
            azure.service.get(name)
        assert azure.service.get(name).status is JobStatus.RUNNING


class TestCancel:
    def test_is_one_post_that_nothing_waits_for(self, plane: ControlPlane, service: AzureMLService, name: str) -> None:
        service.submit(JobRequest(name=name, document=document("python train.py")))
        threads = set(threading.enumerate())
        with plane.recorded() as calls:
            service.cancel(name)
        assert [call.short for call in calls] == [f"POST /jobs/{name}/cancel 2023-04-01-preview"]
        left = {thread for thread in threading.enumerate() if "LROPoller" in thread.name}
        assert not left - threads

    def test_that_the_service_refuses_for_an_ended_job_is_done(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        azure.run_until(name, JobStatus.COMPLETED)
        azure.plane.answer(400, method="POST", message="The run is in a terminal state.")
        azure.service.cancel(name)

    def test_that_the_service_refuses_for_a_running_job_is_an_error(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, hold=True))
        azure.run_until(name, JobStatus.RUNNING)
        azure.plane.answer(400, method="POST", message="Not now.")
        with pytest.raises(TrainingServiceError, match=r"Not now\."):
            azure.service.cancel(name)


class TestLogs:
    def test_need_the_identity_for_the_history_alone(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, log="epoch 1\n", hold=True))
        azure.run_until(name, JobStatus.RUNNING)
        with azure.plane.recorded() as calls:
            assert azure.service.logs(name).text == "epoch 1\n"
        assert [call.path.rsplit("/", 2)[-2:] for call in calls] == [[name, "details"]]

    def test_grow(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, log="epoch 1\n", hold=True))
        azure.run_until(name, JobStatus.RUNNING)
        first = azure.service.logs(name)
        azure.plane.jobs.run(name, log="epoch 2\nepo")
        assert azure.service.logs(name, offset=first.next_offset).text == "epoch 2\n"

    def test_of_a_megabyte_come_in_pages(self, azure: AzureMLBackend, name: str) -> None:
        log = "".join(f"step {number:06}\n" for number in range(100_000))
        azure.service.submit(azure.job(name, log=log))
        azure.run_until(name, JobStatus.COMPLETED)
        first = azure.service.logs(name)
        second = azure.service.logs(name, offset=first.next_offset)
        assert first.text + second.text == log
        assert (first.complete, second.complete) == (False, True)


class TestMetrics:
    def test_are_the_last_of_each(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, metrics={"accuracy": 0.5}, hold=True))
        azure.run_until(name, JobStatus.RUNNING)
        azure.plane.jobs.run(name, metrics={"accuracy": 0.9})
        assert azure.service.metrics(name) == {"accuracy": 0.9}

    def test_come_from_the_workspaces_tracking(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        azure.service.metrics(name)
        with azure.plane.recorded() as calls:
            azure.service.metrics(name)
        assert [(call.method, call.path) for call in calls] == [
            ("GET", f"/mlflow/v1.0{ARM_ID}/api/2.0/mlflow/runs/get")
        ]
        assert calls[0].query == {"run_id": name}

    def test_before_the_run_exists_are_none(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        azure.plane.answer(404, path="*/runs/get")
        assert azure.service.metrics(name) == {}


class TestMetricSeries:
    def test_of_many_values_come_in_pages(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        for number in range(12):
            azure.plane.jobs.run(name, metrics={"loss": number / 10})
        azure.plane.jobs.log_parameters(name, {"epochs": "12"})
        found = azure.service.metric_series(name)
        assert [(point.step, point.value) for point in found.series["loss"]] == [(n, n / 10) for n in range(12)]
        assert found.parameters == {"epochs": "12"}

    def test_of_an_answer_that_is_too_long_are_not_read(
        self, azure: AzureMLBackend, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        azure.service.submit(azure.job(name))
        azure.plane.jobs.run(name, metrics={f"metric {number}": 0.5 for number in range(200)})
        assert len(azure.service.metrics(name)) == 200
        monkeypatch.setattr(ml_workspace, "LARGEST_ANSWER", 10_000)
        with pytest.raises(TrainingServiceError, match="its response has more than 10000 bytes"):
            azure.service.metric_series(name)
