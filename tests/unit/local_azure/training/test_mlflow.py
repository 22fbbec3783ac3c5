import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from function_app.errors import TrainingServiceError, TrainingServiceUnavailable
from function_app.ports.training_service import JOB_TAG, ModelRegistration
from local_azure.training.job_store import DATABASE, JobStore, RunRecord
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused, quoted
from local_azure.training.mlflow_run import ensure_run
from local_azure.training.mlflow_server import artifact_prefix, command, environment
from local_azure.training.model_registry import ModelRegistry

Handler = Callable[[str, dict[str, Any]], Any]
MISSING = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})
EXISTS = (400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "yes"})
RUN = {"info": {"run_id": "r", "experiment_id": "1", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}}


class Server:
    """Answers with what the test put under a call's path, one after the other; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/2.0/mlflow/")
        arguments = dict(request.url.params) if request.method == "GET" else json.loads(request.content)
        self.calls.append((path, arguments))
        answers = self.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, json=body) if not isinstance(body, str) else httpx.Response(status, text=body)

    def paths(self) -> list[str]:
        return [path for path, _ in self.calls]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def mlflow(server: Server) -> Iterator[MlflowClient]:
    client = MlflowClient("http://mlflow/", httpx.Client(transport=httpx.MockTransport(server)))
    yield client
    client.close()


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), (503, ""), (429, {})])
def test_what_may_pass_is_unavailable(server: Server, mlflow: MlflowClient, answer: object) -> None:
    server.answers["runs/get"] = [answer]
    with pytest.raises(TrainingServiceUnavailable, match="http://mlflow"):
        mlflow.metrics("r")


@pytest.mark.parametrize(
    ("answer", "code"), [(MISSING, "RESOURCE_DOES_NOT_EXIST"), ((404, "<html>"), "404"), ((200, "<html>"), "200")]
)
def test_what_will_not_pass_is_refused(server: Server, mlflow: MlflowClient, answer: object, code: str) -> None:
    server.answers["runs/get"] = [answer]
    with pytest.raises(MlflowRefused) as error:
        mlflow.metrics("r")
    assert error.value.error_code == code


def test_metrics_are_floats(server: Server, mlflow: MlflowClient) -> None:
    metrics = [{"key": "a", "value": 1.5}, {"key": "n", "value": "NaN"}, {"key": "zero"}]
    server.answers["runs/get"] = [{"run": {**RUN, "data": {"metrics": metrics}}}]
    found = mlflow.metrics("r")
    assert (found["a"], found["zero"]) == (1.5, 0.0)
    assert math.isnan(found["n"])


def test_an_experiment_is_made_where_it_is_absent(server: Server, mlflow: MlflowClient) -> None:
    server.answers = {"experiments/get-by-name": [MISSING], "experiments/create": [{"experiment_id": "4"}]}
    assert mlflow.experiment_id("digits") == "4"


def test_an_experiment_that_another_process_makes_meanwhile_is_found(server: Server, mlflow: MlflowClient) -> None:
    found = {"experiment": {"experiment_id": "5", "lifecycle_stage": "active"}}
    server.answers = {"experiments/get-by-name": [MISSING, found], "experiments/create": [EXISTS]}
    assert mlflow.experiment_id("digits") == "5"


def test_a_deleted_experiment_is_restored(server: Server, mlflow: MlflowClient) -> None:
    found = {"experiment": {"experiment_id": "5", "lifecycle_stage": "deleted"}}
    server.answers = {"experiments/get-by-name": [found], "experiments/restore": [{}]}
    assert mlflow.experiment_id("digits") == "5"
    assert server.calls[-1] == ("experiments/restore", {"experiment_id": "5"})


def test_quotes_for_filters() -> None:
    assert quoted("a") == "'a'"
    assert quoted("a'b") == '"a\'b"'
    with pytest.raises(MlflowRefused):
        quoted("'\"")


def stored(tmp_path: Path) -> JobStore:
    store = JobStore(tmp_path / DATABASE)
    store.submit("job", {"command": "true", "experiment_name": "digits", "description": "d", "tags": {"a": "b"}})
    return store


def test_a_job_gets_one_run(server: Server, mlflow: MlflowClient, tmp_path: Path) -> None:
    server.answers = {
        "experiments/get-by-name": [{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}],
        "runs/search": [{}],
        "runs/create": [{"run": RUN}],
    }
    store = stored(tmp_path)
    record = ensure_run(store, mlflow, store.get("job"))
    assert record == RunRecord(run_id="r", experiment_id="1", artifacts="ExperimentRun/1/r/artifacts")
    assert ensure_run(store, mlflow, store.get("job")) == record
    assert server.paths().count("runs/create") == 1
    tags = {tag["key"]: tag["value"] for tag in server.calls[-1][1]["tags"]}
    assert tags == {"a": "b", "kedja.job": "job", "mlflow.note.content": "d"}


def test_the_run_that_a_killed_process_made_is_used(server: Server, mlflow: MlflowClient, tmp_path: Path) -> None:
    server.answers = {
        "experiments/get-by-name": [{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}],
        "runs/search": [{"runs": [RUN]}],
    }
    store = stored(tmp_path)
    assert ensure_run(store, mlflow, store.get("job")).run_id == "r"


def test_who_loses_the_race_for_a_run_deletes_its_own(server: Server, mlflow: MlflowClient, tmp_path: Path) -> None:
    server.answers = {
        "experiments/get-by-name": [{"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}],
        "runs/search": [{}],
        "runs/create": [{"run": RUN}],
        "runs/delete": [MISSING],
    }
    store = stored(tmp_path)
    seen_without_run = store.get("job")
    first = RunRecord(run_id="first", experiment_id="1", artifacts="x")
    store.set_run("job", first)
    assert ensure_run(store, mlflow, seen_without_run) == first
    assert server.calls[-1] == ("runs/delete", {"run_id": "r"})


def version(number: int, **tags: str) -> dict[str, Any]:
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    return {"name": "m", "version": str(number), "creation_timestamp": 1000 * number, "tags": pairs}


def test_finds_versions_over_every_page_without_the_archived(server: Server, mlflow: MlflowClient) -> None:
    server.answers["model-versions/search"] = [
        {"model_versions": [version(10, kedja_job="j"), version(3, kedja_job="j")], "next_page_token": "t"},
        {"model_versions": [version(2, kedja_job="j"), version(1, kedja_job="j", kedja_archived="true")]},
    ]
    assert [found.version for found in ModelRegistry(mlflow).find("m", "j")] == ["2", "3", "10"]
    assert server.calls[0][1]["filter"] == "name = 'm' AND tag.`kedja_job` = 'j'"
    assert server.calls[1][1]["page_token"] == "t"


def test_lists_kedjas_versions_highest_first(server: Server, mlflow: MlflowClient) -> None:
    found = [version(2, kedja_job="a"), version(10, kedja_job="b"), version(11)]
    server.answers["model-versions/search"] = [{"model_versions": found}]
    assert [each.version for each in ModelRegistry(mlflow).versions(None)] == ["10", "2"]
    assert "filter" not in server.calls[0][1]


def test_registers_a_version_of_a_model_that_may_be_there(server: Server, mlflow: MlflowClient) -> None:
    made = version(1, **{JOB_TAG: "j", "property.hash": "h"})
    server.answers = {"registered-models/create": [EXISTS], "model-versions/create": [{"model_version": made}]}
    registration = ModelRegistration(
        model="m", job="j", path="outputs/model.npz", description="d", tags={JOB_TAG: "j"}, properties={"hash": "h"}
    )
    registered = ModelRegistry(mlflow).register(registration, "r")
    assert (registered.version, registered.tags, registered.properties) == ("1", {JOB_TAG: "j"}, {"hash": "h"})
    body = server.calls[-1][1]
    assert (body["source"], body["run_id"]) == ("runs:/r/outputs/model.npz", "r")


def test_a_model_name_that_mlflow_refuses_is_an_error(server: Server, mlflow: MlflowClient) -> None:
    server.answers["registered-models/create"] = [(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "a/b"})]
    registration = ModelRegistration(model="a/b", job="j", path="p", description="", tags={}, properties={})
    with pytest.raises(TrainingServiceError, match="a/b"):
        ModelRegistry(mlflow).register(registration, "r")


def test_artifacts_of_another_server_are_refused() -> None:
    assert artifact_prefix("mlflow-artifacts:/1/r/artifacts") == "ExperimentRun/1/r/artifacts"
    with pytest.raises(TrainingServiceError, match="file:///x"):
        artifact_prefix("file:///x")


def test_the_server_sends_nothing_out_and_knows_the_storage() -> None:
    inherited = {"PATH": "/bin", "MLFLOW_TRACKING_URI": "http://elsewhere", "AZURE_CLIENT_SECRET": "s"}
    variables = environment("UseDevelopmentStorage=true", inherited)
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert variables["AZURE_STORAGE_CONNECTION_STRING"] == "UseDevelopmentStorage=true"
    assert not {"MLFLOW_TRACKING_URI", "AZURE_CLIENT_SECRET"} & variables.keys()
    assert "127.0.0.1" in command(Path("/state"), 5000)
