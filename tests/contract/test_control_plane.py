"""The stand-in of the control plane says nothing that the published REST types do not know.

The client library's models are generated from those types (azure-rest-api-specs, Microsoft.MachineLearningServices
2025-12-01, and the run history's).
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from function_app.azure.ml_service import AzureMLService
from function_app.ports.training_service import JOB_TAG, JobRequest, JobStatus, ModelRegistration
from tests.contract import azure_ml_backend
from tests.contract.azure_ml_backend import AzureMLBackend, document
from tests.contract.control_plane.calls import Call
from tests.contract.control_plane.plane import ARM_ID, ControlPlane, cluster


@pytest.fixture(scope="module")
def azure(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureMLBackend]:
    """Run a stand-in in which a job has failed, and another has made a model."""
    with azure_ml_backend.running(tmp_path_factory.mktemp("shapes"), azurite) as backend:
        backend.service.submit(backend.job("failed", exit_code=1, log="oh\n"))
        backend.run_until("failed", JobStatus.FAILED)
        backend.service.submit(backend.job("completed", outputs={"model.npz": b"weights"}))
        backend.run_until("completed", JobStatus.COMPLETED)
        backend.service.register_model(
            ModelRegistration(
                model="shapes",
                job="completed",
                path="outputs/model.npz",
                description="",
                tags={JOB_TAG: "completed"},
                properties={},
            )
        )
        backend.plane.computes["starved"] = cluster("starved", errors=[{"error": {"code": "Quota", "message": "none"}}])
        yield backend


@pytest.fixture
def plane(azure: AzureMLBackend) -> ControlPlane:
    return azure.plane


def get(plane: ControlPlane, path: str) -> Any:  # noqa: ANN401  it is JSON
    answer = plane.handle(Call(method="GET", path=path, query={}, body=None, authorized=True))
    assert answer.status == 200, answer.body
    return answer.body


def unknown(value: Mapping[str, Any], model: str) -> set[str]:
    """Return the keys that the published type, `<API>.<name>`, does not have."""
    api, _, name = model.partition(".")
    # Imported here: the warnings of azure-ai-ml are errors while tests are collected.
    models = importlib.import_module(f"azure.ai.ml._restclient.{api}.models")
    fields = getattr(models, name)({})._attr_to_rest_field.values()
    return value.keys() - {field._rest_name for field in fields}


@pytest.mark.parametrize(
    ("path", "outer", "inner"),
    [
        ("", "arm_ml_service.Workspace", "arm_ml_service.WorkspaceProperties"),
        ("/jobs/failed", "arm_ml_service.JobBase", "arm_ml_service.CommandJob"),
        ("/models/shapes", "arm_ml_service.ModelContainer", "arm_ml_service.ModelContainerProperties"),
        ("/models/shapes/versions/1", "arm_ml_service.ModelVersion", "arm_ml_service.ModelVersionProperties"),
    ],
    ids=["workspace", "job", "model", "model-version"],
)
def test_resources_have_published_keys(plane: ControlPlane, path: str, outer: str, inner: str) -> None:
    resource = get(plane, f"{ARM_ID}{path}")
    assert unknown(resource, outer) == set()
    assert unknown(resource["systemData"], "arm_ml_service.SystemData") == set()
    assert unknown(resource["properties"], inner) == set()


def test_services_of_a_job_have_published_keys(plane: ControlPlane) -> None:
    services = get(plane, f"{ARM_ID}/jobs/failed")["properties"]["services"]
    assert {key for service in services.values() for key in unknown(service, "arm_ml_service.JobService")} == set()


def test_clusters_have_published_keys(plane: ControlPlane) -> None:
    clusters = {each["name"]: each for each in get(plane, f"{ARM_ID}/computes")["value"]}
    resource = clusters["starved"]
    assert unknown(resource, "arm_ml_service.ComputeResource") == set()
    assert unknown(resource["properties"], "arm_ml_service.AmlCompute") == set()
    assert unknown(resource["properties"]["properties"], "arm_ml_service.AmlComputeProperties") == set()
    assert unknown(resource["properties"]["properties"]["errors"][0], "arm_ml_service.ErrorResponse") == set()


def test_run_details_have_published_keys(plane: ControlPlane) -> None:
    details = get(plane, f"/history/v1.0{ARM_ID}/runs/failed/details")
    assert unknown(details, "runhistory.RunDetails") == set()
    assert unknown(details["error"], "runhistory.RunHistoryErrorResponse") == set()
    assert unknown(details["error"]["error"], "runhistory.RootError") == set()


def test_a_call_without_a_token_is_refused(plane: ControlPlane) -> None:
    call = Call(method="GET", path=f"{ARM_ID}/jobs", query={}, body=None, authorized=False)
    assert plane.handle(call).status == 401


def test_a_call_that_it_does_not_know_says_so(plane: ControlPlane) -> None:
    call = Call(method="DELETE", path=f"{ARM_ID}/jobs/failed", query={}, body=None, authorized=True)
    assert plane.handle(call).status == 501


def test_a_name_in_upper_case_would_be_another_job(azure: AzureMLBackend) -> None:
    """The client library makes a command job's name lower case, so Kedja's names are."""
    service: AzureMLService = azure.service
    assert service.submit(JobRequest(name="Upper-Case", document=document("true"))).name == "upper-case"
