import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from training_job.launcher import run_log
from training_job.launcher.run_log import Reader, RunLog
from training_job.tracking.client import Metric


class Sent:
    """A sink that keeps what it gets, and fails as often as a test says."""

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
        "metrics cannot be sent to MLflow, and the job continues without: no server"
    ]


def test_without_a_sink_records_are_read(file: Path) -> None:
    write(file, metric())
    log = RunLog(file, None)
    assert log.drain().latest() == {"a": 1.0}
    log.close()


def test_a_note_that_comes_first(file: Path) -> None:
    write(file, *({"note": f"note {number}"} for number in range(100)), {"note": "no GPU", "first": True})
    reader = run_log.Reader(file)
    reader.read()
    assert reader.records.notes[:2] == ["no GPU", "note 0"]
    assert len(reader.records.notes) == run_log.MOST_NOTES


def test_the_same_note_is_kept_once_and_a_long_one_is_cut(file: Path) -> None:
    write(file, {"note": "numpy==1.11 is fulfilled by numpy 2.3"}, {"note": "numpy==1.11 is fulfilled by numpy 2.3"})
    write(file, {"note": "x" * 10_000}, *({"note": f"note {number}"} for number in range(100)))
    reader = Reader(file)
    reader.read()
    assert reader.records.notes[:3] == ["numpy==1.11 is fulfilled by numpy 2.3", "x" * run_log.LONGEST_NOTE, "note 0"]
    assert len(reader.records.notes) == run_log.MOST_NOTES
