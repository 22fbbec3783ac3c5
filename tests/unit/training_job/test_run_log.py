import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, RunData
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

from training_job import run_log
from training_job.run_log import Metric, MlflowRun, Reader, RunLog


class Sent:
    """A sink that keeps what it gets, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.metrics: list[Metric] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.batches = 0

    def send(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no server")
        self.metrics += metrics
        self.tags |= tags
        self.batches += 1

    def send_parameters(self, parameters: Mapping[str, str]) -> None:
        self.params |= parameters


def write(file: Path, *records: Mapping[str, Any] | str) -> None:
    with file.open("a") as stream:
        for record in records:
            stream.write((record if isinstance(record, str) else json.dumps(record)) + "\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "_POLL_SECONDS", 0.01)


def metric(name: str = "a", value: float = 1, **more: object) -> dict[str, object]:
    return {"metric": name, "value": value, **more}


def test_records_are_read_as_they_come(file: Path) -> None:
    reader = Reader(file)
    reader.read()
    write(file, metric(step=3, time=5))
    with file.open("a") as stream:
        stream.write('{"metric": "b", ')
    reader.read()
    assert reader.records.metrics == [Metric(name="a", value=1.0, step=3, time=5)]
    with file.open("a") as stream:
        stream.write('"value": 2}\n')
    write(file, {"tag": "k", "value": "v"}, {"failure": "why", "refused": True})
    reader.read()
    assert reader.records.latest() == {"a": 1.0, "b": 2.0}
    assert (reader.records.tags, reader.records.failure, reader.records.refused) == ({"k": "v"}, "why", True)


def test_a_metric_needs_neither_step_nor_time(file: Path) -> None:
    write(file, metric())
    reader = Reader(file)
    reader.read()
    (found,) = reader.records.metrics
    assert found.step == 0
    assert abs(found.time / 1000 - time.time()) < 60


@pytest.mark.parametrize("line", ["junk", "[]", "{}", "3", '{"metric": "a"}', '{"metric": "a", "value": "x"}'])
def test_a_line_that_is_no_record_is_skipped(file: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    write(file, line, line, metric())
    reader = Reader(file)
    reader.read()
    assert reader.records.latest() == {"a": 1.0}
    assert len(caplog.records) == 1


def test_a_last_value_that_is_no_number_is_left_out(file: Path) -> None:
    write(file, metric("a", 0.9), metric("a", float("nan")), metric("b", float("inf")), metric("c", 1))
    reader = Reader(file)
    reader.read()
    assert reader.records.latest() == {"c": 1.0}


def test_everything_is_sent_once(file: Path) -> None:
    sink = Sent()
    log = RunLog(file, sink)
    log.start({"epochs": "3"}, {"environment.python": "3.13"})
    write(file, metric(), {"tag": "k", "value": "v"})
    until = time.monotonic() + 10
    while not sink.metrics and time.monotonic() < until:
        time.sleep(0.01)
    assert [found.name for found in sink.metrics] == ["a"]
    assert sink.params == {}
    write(file, metric("b"))
    assert log.drain().latest() == {"a": 1.0, "b": 1.0}
    write(file, metric("c"))
    log.close()
    assert [found.name for found in sink.metrics] == ["a", "b", "c"]
    assert (sink.params, sink.tags) == ({"epochs": "3"}, {"environment.python": "3.13", "k": "v"})


def test_long_logs_go_in_batches(file: Path) -> None:
    sink = Sent()
    write(file, *(metric(step=step) for step in range(2000)))
    log = RunLog(file, sink)
    log.close()
    assert [found.step for found in sink.metrics] == list(range(2000))
    assert sink.batches == 3


def test_a_sink_that_fails_is_asked_again_at_the_end(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Sent(failures=1)
    write(file, metric())
    log = RunLog(file, sink)
    log.start({}, {"t": "1"})
    until = time.monotonic() + 10
    while sink.failures and time.monotonic() < until:
        time.sleep(0.01)
    log.drain()
    assert sink.metrics == []
    log.close()
    assert (len(sink.metrics), sink.tags) == (1, {"t": "1"})
    assert [record.message for record in caplog.records] == [
        "metrics do not reach MLflow, and the job goes on without: no server"
    ]


def test_without_a_sink_records_are_read(file: Path) -> None:
    write(file, metric())
    log = RunLog(file, None)
    assert log.drain().latest() == {"a": 1.0}
    log.close()


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
