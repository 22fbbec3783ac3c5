from concurrent.futures import ThreadPoolExecutor

import pytest

from function_app.errors import TrainingServiceError, TrainingServiceUnavailable
from function_app.ports.training_service import JOB_TAG, JobStatus
from tests.contract.azure_ml.job_requests import registration
from tests.contract.azure_ml_backend import AzureMLBackend


class TestModels:
    def test_two_registrations_at_once_make_two_versions(self, azure: AzureMLBackend, name: str) -> None:
        for job in (f"{name}-a", f"{name}-b"):
            azure.service.submit(azure.job(job, outputs={"model.npz": b"weights"}))
            azure.run_until(job, JobStatus.COMPLETED)
        held = azure.plane.hold(method="PUT", path=f"*/models/{name}/versions/1")
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(azure.service.register_model, registration(name, f"{name}-a"))
            assert held.entered.wait(30)
            fast = azure.service.register_model(registration(name, f"{name}-b"))
            held.release()
            assert (fast.version, slow.result().version) == ("1", "2")
        assert [version.tags[JOB_TAG] for version in azure.service.models(name)] == [f"{name}-a", f"{name}-b"]

    def test_registration_gives_up_in_the_end(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        azure.plane.answer(400, method="PUT", times=5, message="Asset paths cannot be updated.")
        with pytest.raises(TrainingServiceUnavailable, match="next version number"):
            azure.service.register_model(registration(name, name))

    def test_the_version_points_to_the_jobs_artifact(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, outputs={"model.npz": b"weights"}))
        azure.run_until(name, JobStatus.COMPLETED)
        with azure.plane.recorded() as calls:
            azure.service.register_model(registration(name, name))
        put = calls[-1]
        assert put.short == f"PUT /models/{name}/versions/1 2023-08-01-preview"
        sent = put.body["properties"]
        assert sent["modelUri"] == f"azureml://jobs/{name}/outputs/artifacts/paths/outputs/model.npz"
        assert sent["modelType"] == "custom_model"
        assert sent["tags"] == {JOB_TAG: name}
        assert sent["properties"] == {"kedja_data": "0" * 64}

    def test_a_folder_in_mlflows_format_is_registered_as_that(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name, outputs={"model/MLmodel": b"flavors: {}", "model/model.onnx": b"x"}))
        azure.run_until(name, JobStatus.COMPLETED)
        with azure.plane.recorded() as calls:
            azure.service.register_model(registration(name, name, path="outputs/model", is_mlflow=True))
        sent = calls[-1].body["properties"]
        assert sent["modelType"] == "mlflow_model"
        assert sent["modelUri"] == f"azureml://jobs/{name}/outputs/artifacts/paths/outputs/model"

    def test_an_artifact_that_is_not_there_is_refused(self, azure: AzureMLBackend, name: str) -> None:
        azure.service.submit(azure.job(name))
        azure.run_until(name, JobStatus.COMPLETED)
        with pytest.raises(TrainingServiceError, match=r"model\.npz does not exist"):
            azure.service.register_model(registration(name, name))
