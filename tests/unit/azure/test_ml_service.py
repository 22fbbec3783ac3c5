import json
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    DeserializationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceNotFoundError,
    ServiceResponseError,
)
from azure.core.rest import HttpResponse
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from marshmallow import ValidationError
from pytest_mock import MockerFixture

from function_app.azure.ml_errors import service_errors
from function_app.azure.ml_mapping import DOCUMENT_PROPERTY, compute_of, digest_of, document_of, status_of
from function_app.azure.ml_service import AzureMLService
from function_app.azure.ml_workspace import Connection, Workspace
from function_app.errors import (
    AppNotAllowed,
    InvalidSettings,
    JobNotFound,
    JobRefused,
    TrainingServiceError,
    TrainingServiceUnavailable,
    WorkspaceNotFound,
)
from function_app.ports.training_service import RECEIPT_TAG, JobRequest, JobStatus

# azure-ai-ml declares its YAML schemas in ways that marshmallow 4 will not know; it asks for marshmallow 3.
pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")

ARM_ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
CODE_ID = f"{ARM_ID}/codes/training-job/versions/7"
ENVIRONMENT = {
    "KEDJA_WORKSPACE_SUBSCRIPTION_ID": "s",
    "KEDJA_WORKSPACE_RESOURCE_GROUP": "rg",
    "KEDJA_WORKSPACE_NAME": "ws",
    "KEDJA_TRAINING_CODE": CODE_ID,
}


def connection(mocker: MockerFixture) -> Connection:
    """Return a connection whose clients are the test's own."""
    made = Connection(workspace=Workspace.from_environment(ENVIRONMENT), credential=mocker.Mock())
    made._made["ml"] = mocker.Mock()
    return made


def refusal(status: int) -> HttpResponseError:
    """Return what the client libraries raise for an answer of this status."""
    error = HttpResponseError("not for you")
    error.status_code = status
    return error


def answered(status: int | None, body: object) -> HttpResponseError:
    """Return what the client libraries raise for an answer with this body, which need not be JSON."""
    response = create_autospec(HttpResponse, instance=True)
    response.status_code, response.reason, response.headers = status, "Odd", {}
    response.text.return_value = body if isinstance(body, str) else json.dumps(body)
    return (ResourceNotFoundError if status == HTTPStatus.NOT_FOUND else HttpResponseError)(response=response)


def test_importing_it_leaves_the_client_library_alone() -> None:
    heavy = "'azure.ai.ml' in sys.modules or 'azure.identity' in sys.modules"
    code = f"import sys, function_app.azure.ml_service; sys.exit({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


class TestConnect:
    def test_reads_the_environment(self) -> None:
        workspace = AzureMLService.connect(ENVIRONMENT).connection.workspace
        assert workspace.arm_id == ARM_ID
        assert workspace.code_id == CODE_ID
        assert workspace.artifacts == "azureml"
        assert workspace.client_id is None

    def test_asks_nobody_anything(self, mocker: MockerFixture) -> None:
        client = mocker.patch("azure.ai.ml.MLClient", autospec=True)
        AzureMLService.connect(ENVIRONMENT)
        client.assert_not_called()

    def test_names_all_that_is_missing(self) -> None:
        with pytest.raises(InvalidSettings) as raised:
            AzureMLService.connect({"KEDJA_WORKSPACE_NAME": "ws", "KEDJA_TRAINING_CODE": ""})
        for name in ("SUBSCRIPTION_ID", "RESOURCE_GROUP"):
            assert f"KEDJA_WORKSPACE_{name}" in str(raised.value)
        assert "KEDJA_TRAINING_CODE" in str(raised.value)
        assert "KEDJA_WORKSPACE_NAME" not in str(raised.value)

    @pytest.mark.parametrize("code", ["./training_job", "azureml:training-job:1", f"{ARM_ID}/codes/training-job"])
    def test_wants_a_code_versions_id(self, code: str) -> None:
        with pytest.raises(InvalidSettings, match="KEDJA_TRAINING_CODE"):
            AzureMLService.connect({**ENVIRONMENT, "KEDJA_TRAINING_CODE": code})

    def test_takes_the_identity_that_is_named(self) -> None:
        named = AzureMLService.connect({**ENVIRONMENT, "AZURE_CLIENT_ID": "c"}).connection
        assert named.workspace.client_id == "c"
        assert isinstance(named.credential, ManagedIdentityCredential)
        assert isinstance(AzureMLService.connect(ENVIRONMENT).connection.credential, DefaultAzureCredential)

    def test_reads_the_workspaces_own_file(self, tmp_path: Path) -> None:
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"subscription_id": "s", "resource_group": "rg", "workspace_name": "theirs"}))
        settings = {"KEDJA_WORKSPACE_CONFIG": str(file), "KEDJA_TRAINING_CODE": CODE_ID}
        assert Workspace.from_environment(settings).name == "theirs"
        assert Workspace.from_environment({**settings, "KEDJA_WORKSPACE_NAME": "ours"}).name == "ours"

    @pytest.mark.parametrize("content", [None, "{}", "[]", "{"])
    def test_refuses_another_file(self, tmp_path: Path, content: str | None) -> None:
        file = tmp_path / "config.json"
        if content is not None:
            file.write_text(content)
        with pytest.raises(InvalidSettings, match="KEDJA_WORKSPACE_CONFIG"):
            Workspace.from_environment({**ENVIRONMENT, "KEDJA_WORKSPACE_CONFIG": str(file)})


class TestConnection:
    def test_makes_one_patient_client(self, mocker: MockerFixture) -> None:
        client = mocker.patch("azure.ai.ml.MLClient", autospec=True)
        made = Connection(workspace=Workspace.from_environment(ENVIRONMENT), credential=mocker.sentinel.credential)
        assert made.ml is made.ml
        client.assert_called_once()
        assert client.call_args.args == (mocker.sentinel.credential, "s", "rg", "ws")
        assert client.call_args.kwargs["retry_status"] == 0
        assert client.call_args.kwargs["enable_telemetry"] is False

    def test_finds_the_regions_addresses(self, mocker: MockerFixture) -> None:
        made = connection(mocker)
        made.ml.workspaces.get.return_value.mlflow_tracking_uri = (
            f"azureml://swedencentral.api.azureml.ms/mlflow/v1.0{ARM_ID}"
        )
        assert made.tracking_url == f"https://swedencentral.api.azureml.ms/mlflow/v1.0{ARM_ID}"
        assert made.history_url == f"https://swedencentral.api.azureml.ms/history/v1.0{ARM_ID}"
        made.ml.workspaces.get.assert_called_once_with("ws")


class TestDocument:
    request = JobRequest(name="digits-1", document={"command": "python train.py", "properties": {"theirs": "1"}})

    def test_gets_its_name_code_and_digest(self) -> None:
        assert document_of(self.request, CODE_ID) == {
            "name": "digits-1",
            "command": "python train.py",
            "code": f"azureml:{CODE_ID}",
            "properties": {"theirs": "1", DOCUMENT_PROPERTY: digest_of(self.request)},
        }

    def test_of_a_sweep_has_its_code_in_the_trial(self) -> None:
        request = JobRequest(name="digits-1", document={"type": "sweep", "trial": {"command": "python train.py"}})
        document = document_of(request, CODE_ID)
        assert document["trial"] == {"command": "python train.py", "code": f"azureml:{CODE_ID}"}
        assert "code" not in document
        assert request.document["trial"] == {"command": "python train.py"}

    def test_digest_knows_the_content_and_not_its_order(self) -> None:
        one = JobRequest(name="a", document={"command": "x", "tags": {"a": "1", "b": "2"}})
        same = JobRequest(name="a", document={"tags": {"b": "2", "a": "1"}, "command": "x"})
        other = JobRequest(name="a", document={"command": "x", "tags": {"a": "1", "b": "3"}})
        assert digest_of(one) == digest_of(same)
        assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize("word", ["completed", "Completed", "COMPLETED"])
def test_status_is_read_whatever_its_case(word: str) -> None:
    assert status_of(word) is JobStatus.COMPLETED


def test_unknown_status_is_running_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert status_of("Paused") is JobStatus.RUNNING
    assert "Paused" in caplog.text


class TestLogs:
    def test_at_an_address_that_is_not_accepted_are_refused_for_good(self, mocker: MockerFixture) -> None:
        made = connection(mocker)
        made._made["tracking"] = "https://region.api.azureml.ms/mlflow/v1.0"
        details = {"status": "Failed", "logFiles": {"user_logs/std_log.txt": "https://s.blob.core.windows.net/log"}}
        mocker.patch.object(Connection, "get_json", return_value=details)
        mocker.patch("function_app.azure.ml_log.read", side_effect=refusal(403))
        with pytest.raises(TrainingServiceError, match="The log of job 'digits-1' cannot be read") as raised:
            AzureMLService(connection=made).logs("digits-1")
        assert not isinstance(raised.value, TrainingServiceUnavailable)


class TestSubmit:
    def test_sends_nothing_that_the_library_refuses(self, mocker: MockerFixture) -> None:
        error = ValidationError("command: Missing data for required field.")
        mocker.patch("azure.ai.ml.load_job", side_effect=error)
        made = connection(mocker)
        with pytest.raises(JobRefused, match="Missing data for required field"):
            AzureMLService(connection=made).submit(JobRequest(name="digits-1", document={}))
        made.ml.jobs.create_or_update.assert_not_called()


class TestList:
    def test_asks_for_more_as_jobs_are_taken(self, mocker: MockerFixture) -> None:
        made = connection(mocker)
        asked: list[int] = []

        def jobs() -> Iterator[object]:
            for number in range(250):
                asked.append(number)
                yield SimpleNamespace(
                    name=f"digits-{number}",
                    services={},
                    status="Running",
                    experiment_name="digits",
                    tags={RECEIPT_TAG: "digits/1"},
                    creation_context=None,
                )

        made.ml.jobs.list.return_value = jobs()
        listed = AzureMLService(connection=made).list()
        assert next(listed).name == "digits-0"
        assert len(asked) == 100
        assert len([*listed]) == 249


class TestServiceErrors:
    def test_a_lost_answer_is_unavailable(self) -> None:
        match = r"Job 'x' cannot be read.*read timed out"
        with pytest.raises(TrainingServiceUnavailable, match=match), service_errors("Job 'x' cannot be read"):
            raise ServiceResponseError("read timed out")

    def test_an_address_loses_its_secret(self) -> None:
        error = ServiceResponseError(
            "HTTPSConnectionPool: timed out with url: /azureml/std_log.txt?sv=1&sig=secret (x)"
        )
        with pytest.raises(TrainingServiceUnavailable) as raised, service_errors("The log cannot be read"):
            raise error
        assert "std_log.txt?… (x)" in str(raised.value)
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        ("error", "what_to_do"),
        [
            (ClientAuthenticationError("no identity here"), "that the identity still exists"),
            (refusal(403), "the role AzureML Data Scientist on the workspace"),
        ],
    )
    def test_an_identity_that_may_not_is_told_what_to_give_it(self, error: Exception, what_to_do: str) -> None:
        with pytest.raises(AppNotAllowed, match=what_to_do) as raised, service_errors("Job 'x' cannot be read"):
            raise error
        assert "AZURE_CLIENT_ID" in str(raised.value)
        assert isinstance(raised.value, TrainingServiceUnavailable)

    @pytest.mark.parametrize("error", [ClientAuthenticationError("the SAS is over"), refusal(403)])
    def test_an_address_that_is_not_accepted_is_refused_for_good(self, error: Exception) -> None:
        with pytest.raises(TrainingServiceError) as raised, service_errors("The log cannot be read", identity=False):
            raise error
        assert type(raised.value) is TrainingServiceError
        assert "role" not in str(raised.value)

    @pytest.mark.parametrize("status", [None, 200, 302, 405, 410, 418])
    def test_an_answer_that_no_request_should_get_is_no_verdict(self, status: int | None) -> None:
        error = answered(status, {"error": {"code": "BadRequest", "message": "Odd."}})
        with pytest.raises(TrainingServiceUnavailable), service_errors("Job 'x' cannot be read", refused=JobRefused):
            raise error

    @pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
    def test_a_refusal_is_one_only_with_its_words(self, status: int) -> None:
        with pytest.raises(JobRefused, match="No such size"), service_errors("Job 'x'", refused=JobRefused):
            raise answered(status, {"error": {"code": "BadRequest", "message": "No such size"}})
        bodies: tuple[object, ...] = (None, {}, "<html>")
        for body in bodies:
            with pytest.raises(TrainingServiceUnavailable), service_errors("Job 'x'", refused=JobRefused):
                raise answered(status, body)

    @pytest.mark.parametrize("error", [DecodeError("half"), IncompleteReadError("cut off"), DeserializationError()])
    def test_half_an_answer_is_none(self, error: Exception) -> None:
        with pytest.raises(TrainingServiceUnavailable), service_errors("Job 'x'", refused=JobRefused):
            raise error

    def test_what_the_library_refuses_is_refused(self) -> None:
        from azure.ai.ml.exceptions import ValidationException  # noqa: PLC0415 - it warns of marshmallow

        refusal = ValidationException(message="no such type", no_personal_data_message="")
        with pytest.raises(JobRefused, match="no such type"), service_errors("Job 'x'", refused=JobRefused):
            raise refusal

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("SubscriptionNotFound", "The subscription 's' could not be found."),
            ("ResourceGroupNotFound", "Resource group 'g' could not be found."),
            ("ParentResourceNotFound", "Failed to perform 'read' on a resource."),
            (
                "ResourceNotFound",
                "The Resource 'Microsoft.MachineLearningServices/workspaces/typo' under resource group 'g' is missing.",
            ),
        ],
    )
    def test_that_the_workspace_is_not_there_says_nothing_about_a_job(self, code: str, message: str) -> None:
        with pytest.raises(WorkspaceNotFound, match="KEDJA_WORKSPACE_NAME"), service_errors("x", missing=JobNotFound):
            raise answered(404, {"error": {"code": code, "message": message}})

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("UserError", "Run x was not found."),
            ("ResourceNotFound", "The Resource 'Microsoft.MachineLearningServices/workspaces/w/jobs/x' was not found."),
            ("Odd", "Gone fishing."),
        ],
    )
    def test_another_404_is_a_miss(self, code: str, message: str) -> None:
        with pytest.raises(JobNotFound), service_errors("Job 'x'", missing=JobNotFound):
            raise answered(404, {"error": {"code": code, "message": message}})

    def test_an_error_of_kedjas_own_passes(self) -> None:
        with pytest.raises(JobRefused, match="as it is"), service_errors("Job 'x' cannot be read"):
            raise JobRefused("as it is")


class TestCompute:
    def test_says_each_reason(self) -> None:
        compute = compute_of(
            {
                "name": "gpu-cluster",
                "properties": {
                    "computeType": "AmlCompute",
                    "provisioningState": "Failed",
                    "provisioningErrors": [{"error": {"code": "SubnetFull"}}],
                    "properties": {"errors": [{"error": {"code": "Quota", "message": "No cores left."}}]},
                },
            }
        )
        assert compute is not None
        assert (compute.state, compute.error) == ("Failed", "SubnetFull; No cores left.")

    @pytest.mark.parametrize(("priority", "is_low"), [("Dedicated", False), ("LowPriority", True), (None, False)])
    def test_says_whether_nodes_may_be_taken_away(self, priority: str | None, *, is_low: bool) -> None:
        properties = {"computeType": "AmlCompute", "provisioningState": "Succeeded"}
        compute = compute_of({"name": "c", "properties": {**properties, "properties": {"vmPriority": priority}}})
        assert compute is not None
        assert compute.is_low_priority is is_low

    def test_of_another_kind_is_none(self) -> None:
        assert compute_of({"name": "k8s", "properties": {"computeType": "Kubernetes"}}) is None
