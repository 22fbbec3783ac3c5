import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, RunData
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from tests.unit.training_job.drops import ROOT, Drop
from tests.unit.training_job.mlflow_server import RUN, Network, Server
from training_job.launcher.run_log import RunLog
from training_job.tracking.client import Metric, TrackingError
from training_job.tracking.mlflow_http import Connection, MlflowHttp
from training_job.tracking.mlflow_run import MlflowRun


def test_the_run_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLFLOW_RUN_ID",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
    ):
        monkeypatch.delenv(name, raising=False)
    assert MlflowRun.from_environment() is None
    monkeypatch.setenv("MLFLOW_RUN_ID", "r")
    assert MlflowRun.from_environment() is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:x")
    assert MlflowRun.from_environment() is not None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run in MLflow's own store of files, which needs no server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    client = MlflowClient()
    return client.create_run(client.create_experiment("digits"))


def stored(run: Run) -> RunData:
    return MlflowClient().get_run(run.info.run_id).data


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Accuracy (%)", "Accuracy ___"),
        ("main//loss", "main/loss"),
        ("/main/./loss/", "main/loss"),
        ("../..", "_"),
        ("", "_"),
        ("a:b", "a_b"),
        ("x" * 300, "x" * 250),
        ("x" * 249 + "/y", "x" * 249),
    ],
)
def test_mlflow_gets_names_it_takes(run: Run, name: str, cleaned: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = MlflowRun(run.info.run_id)
    sink.send([Metric(name=name, value=1, step=2, time=3)], {name: "x" * 7000})
    sink.send_parameters({name: "x" * 7000})
    data = stored(run)
    assert data.metrics == {cleaned: 1}
    assert len(data.tags[cleaned]) == 5000
    assert {key: len(value) for key, value in data.params.items()} == {cleaned: 6000}
    assert caplog.records == []


def test_what_mlflow_refuses_is_left_out(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = MlflowClient.log_batch

    def log_batch(self: MlflowClient, run_id: str, metrics: Sequence[Any], **more: Any) -> None:  # noqa: ANN401
        if any(one.step >= 1 << 63 for one in metrics):
            raise ValueError(f"Value out of range: {1 << 63}")  # as the request to a server is made
        if any(one.key == "refused" for one in metrics):
            raise MlflowException("no such metric here", error_code=INVALID_PARAMETER_VALUE)
        take(self, run_id, metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    late = [Metric(name="late", value=step, step=1 << 63, time=1) for step in range(2)]
    good = [Metric(name=f"m{number}", value=number, step=0, time=1) for number in range(9)]
    refused = Metric(name="refused", value=1, step=0, time=1)
    MlflowRun(run.info.run_id).send([*good[:4], *late, refused, *good[4:]], {"t": "v"})
    assert stored(run).metrics == {f"m{number}": number for number in range(9)}
    assert stored(run).tags["t"] == "v"
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "MLflow refuses 'late', which is left out",
        "MLflow refuses 'refused', which is left out",
    ]


def test_an_mlflow_that_cannot_answer_refuses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def log_batch(*_: object, **__: object) -> None:
        raise MlflowException("busy", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    with pytest.raises(MlflowException, match="busy"):
        MlflowRun(run.info.run_id).send([], {"t": "v"})


def test_a_scripts_own_parameters_go_before_the_arguments(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    sink = MlflowRun(run.info.run_id)
    sink.send_parameters({"a (1)": "1"})
    MlflowClient().log_param(run.info.run_id, "verbose", True)  # noqa: FBT003 - MLflow's signature
    sink.send_parameters({"verbose": "true", "epochs": "3", "a (1)": "2"})
    assert stored(run).params == {"verbose": "True", "epochs": "3", "a _1_": "1"}
    assert caplog.records == []


NAMES = [
    ("Accuracy (%)", "Accuracy ___"),
    ("../..", "_"),
    ("x" * 249 + "/y", "x" * 249),
]


@pytest.mark.parametrize(("name", "cleaned"), NAMES)
def test_a_server_gets_names_that_mlflow_takes(name: str, cleaned: str) -> None:
    server = Server()
    sink = MlflowRun(RUN, server.client())
    sink.send([Metric(name=name, value=1, step=2, time=3)], {name: "x" * 7000})
    sink.send_parameters({name: "x" * 7000})
    assert server.metrics == [{"key": cleaned, "value": 1, "timestamp": 3, "step": 2}]
    assert {key: len(value) for key, value in server.tags.items()} == {cleaned: 5000}
    assert {key: len(value) for key, value in server.params.items()} == {cleaned: 6000}


def test_what_a_server_refuses_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    late = [Metric(name="late", value=step, step=1 << 63, time=1) for step in range(2)]
    good = [Metric(name=f"m{number}", value=number, step=0, time=1) for number in range(9)]
    refused = Metric(name="refused", value=1, step=0, time=1)
    MlflowRun(RUN, server.client()).send([*good[:4], *late, refused, *good[4:]], {"t": "v", "u": "\ud800"})
    assert [metric["key"] for metric in server.metrics] == [f"m{number}" for number in range(9)]  # and in order
    assert server.tags == {"t": "v"}
    assert [record.message for record in caplog.records] == [
        "MLflow refuses 'late', which is left out: Value out of range: 9223372036854775808",
        "MLflow refuses 'refused', which is left out: INVALID_PARAMETER_VALUE: Changing param values is not allowed.",
        "MLflow refuses 'u', which is left out: no Unicode text: surrogates not allowed",
    ]


def test_a_scripts_own_parameters_go_before_the_arguments_on_a_server(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.params["verbose"] = "True"
    MlflowRun(RUN, server.client()).send_parameters({"verbose": "true", "epochs": "3", "a (1)": "2"})
    assert server.params == {"verbose": "True", "epochs": "3", "a _1_": "2"}
    assert caplog.records == []


def test_a_server_that_is_down_costs_a_job_nothing_but_its_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(lambda _: (503, "<html>Down"))
    connection = Connection(address="http://ada:s3cret@mlflow.test")
    client = MlflowHttp(connection, open_session=network.session, sleep=lambda _: None)
    (tmp_path / "metrics.jsonl").write_text('{"metric": "a", "value": 1}\n')
    log = RunLog(tmp_path / "metrics.jsonl", MlflowRun(RUN, client))
    log.close()
    log.close()
    assert log.records.latest() == {"a": 1}
    assert len(network.sent) == 6  # three tries each
    (warning,) = caplog.records
    assert warning.message == (
        "metrics cannot be sent to MLflow, and the job continues without: "
        "MLflow at http://mlflow.test answers 503 to runs/log-batch: <html>Down"
    )


def test_a_setting_that_cannot_be_used_costs_a_job_nothing_but_its_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.test")
    monkeypatch.setenv("MLFLOW_RUN_ID", RUN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")
    run = MlflowRun.from_environment()
    assert run is not None
    with pytest.raises(TrackingError, match="MLFLOW_HTTP_REQUEST_TIMEOUT is 'soon'"):
        run.send([], {"t": "v"})


def test_a_job_with_a_server_does_not_import_mlflow(tmp_path: Path) -> None:
    # Its import takes longer than all else that a small job does.
    code = """
import json, os, sys
import training_job.launch
heavy = ["mlflow", "requests", "packaging", "numpy"]
at_start = [name for name in heavy if name in sys.modules]
from requests.adapters import HTTPAdapter
from tests.unit.training_job.mlflow_server import TAKEN, Network
network = Network(lambda _: TAKEN)
HTTPAdapter.send = lambda _, request, **options: network.send(request, **options)
training_job.launch.MlflowRun.from_environment().send([], {"t": "v"})
print(json.dumps([at_start, network.bodies, [name for name in heavy if name in sys.modules]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": "http://mlflow.test",
            "MLFLOW_RUN_ID": RUN,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    at_start, bodies, heavy = json.loads(done.stdout)
    assert at_start == []
    assert bodies == [{"run_id": RUN, "tags": [{"key": "t", "value": "v"}]}]
    assert heavy == ["requests"]


def test_dropped_files_stand_in_for_no_library_of_the_launcher(drop: Drop) -> None:
    drop.scripts = {
        "train.py": "import packaging, requests; print(packaging.WORD, requests.WORD)",
        "packaging.py": "WORD = 'mine'",
        "requests.py": "WORD = 'mine too'",
        "requirements.txt": "numpy",
    }
    # That is no address, which `requests` notices before it connects to anything.
    ended = drop.launch("python", "train.py", MLFLOW_TRACKING_URI="http://mlflow.test:port", MLFLOW_RUN_ID=RUN)
    assert (ended.code, ended.output) == (0, "mine mine too\n"), ended.errors
    assert "cannot be asked (InvalidURL)" in ended.errors
