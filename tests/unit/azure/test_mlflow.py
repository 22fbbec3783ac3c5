import math
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from function_app.azure import mlflow
from function_app.azure.mlflow import MOST_METRICS, series_of
from function_app.http.metric_views import MOST_VALUES, JobMetrics
from function_app.ports.metrics import MetricPoint, RunSeries
from local_azure.training.mlflow_client import MAX_RESPONSE_BYTES, MlflowClient, MlflowRefused

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MILLISECONDS = int(AT.timestamp() * 1000)


def value(step: int, number: float) -> dict[str, Any]:
    return {"key": "loss", "value": number, "timestamp": MILLISECONDS, "step": step}


def test_values_come_in_the_order_of_their_steps() -> None:
    found = series_of({"data": {"metrics": [{"key": "loss"}]}}, lambda *_: [value(2, 0.1), value(1, 0.2)])

    assert found.series == {"loss": [MetricPoint(step=1, value=0.2, time=AT), MetricPoint(step=2, value=0.1, time=AT)]}


def test_what_protocol_buffers_leave_out_is_zero_and_long_numbers_may_be_text() -> None:
    history = [{"key": "loss"}, {"key": "loss", "step": "3", "value": "NaN", "timestamp": str(MILLISECONDS)}]
    first, second = series_of({"data": {"metrics": [{"key": "loss"}]}}, lambda *_: history).series["loss"]

    assert (first.step, first.value) == (0, 0.0)
    assert second.step == 3
    assert math.isnan(second.value)


def test_a_run_that_logged_nothing_is_empty() -> None:
    assert series_of({"info": {}}, lambda *_: []) == RunSeries()


def test_mlflow_is_asked_for_every_page_of_every_metric() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        query: Mapping[str, str] = request.url.params
        if request.url.path.endswith("/runs/get"):
            data = {"metrics": [{"key": "loss"}, {"key": "accuracy"}], "params": [{"key": "epochs", "value": "2"}]}
            return httpx.Response(200, json={"run": {"data": data}})
        assert request.url.path.endswith("/metrics/get-history")
        if query["metric_key"] == "accuracy":
            return httpx.Response(200, json={})
        if "page_token" not in query:
            return httpx.Response(200, json={"metrics": [value(0, 0.5)], "next_page_token": "more"})
        return httpx.Response(200, json={"metrics": [value(1, 0.25)]})

    client = MlflowClient("http://mlflow.test", httpx.Client(transport=httpx.MockTransport(answer)))
    found = client.series("r")
    client.close()

    assert [(point.step, point.value) for point in found.series["loss"]] == [(0, 0.5), (1, 0.25)]
    assert found.series["accuracy"] == []
    assert found.parameters == {"epochs": "2"}


def run_of(keys: int) -> dict[str, Any]:
    return {"data": {"metrics": [{"key": f"metric {number:06}"} for number in range(keys)]}}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the metric of each value that is read, of a thousand at most in all."""
    monkeypatch.setattr(mlflow, "MOST_VALUES", 1000)
    return []


@pytest.mark.parametrize(("keys", "values"), [(1, 5000), (10, 5000), (40, 26), (3000, 3)])
def test_no_more_values_are_read_than_memory_has_room_for(read: list[str], keys: int, values: int) -> None:
    def history(key: str, size: int) -> Iterator[dict[str, Any]]:
        for step in range(values):
            assert step <= size
            read.append(key)
            yield value(step, 0.5)

    found = series_of(run_of(keys), history)
    kept = min(keys, MOST_METRICS)
    each = 1000 // kept
    assert found.metrics_total == keys
    assert list(found.series) == [f"metric {number:06}" for number in range(kept)]
    assert {len(points) for points in found.series.values()} == {each}
    assert found.cut == tuple(found.series)
    assert len(read) <= 1000 + kept


def test_a_series_that_was_read_to_its_end_is_not_cut(read: list[str]) -> None:
    assert series_of(run_of(2), lambda *_: [value(step, 0.5) for step in range(500)]).cut == ()
    assert series_of(run_of(2), lambda key, _: [value(0, 0.5)] * (501 if key.endswith("1") else 1)).cut == (
        "metric 000001",
    )


def test_values_are_kept_as_plain_numbers() -> None:
    def history(_key: str, _size: int) -> Iterator[dict[str, Any]]:
        return (value(step, 0.5) for step in range(20_000))

    tracemalloc.start()
    try:
        found = series_of(run_of(1), history)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.series["metric 000000"]) == 20_000
    assert kept < 40 * 20_000
    assert peak < 80 * 20_000


def test_series_are_sequences() -> None:
    points = series_of(run_of(1), lambda *_: [value(step, step / 2) for step in range(5)]).series["metric 000000"]
    assert [point.step for point in points[1:4:2]] == [1, 3]
    assert (points[-1].value, len(points)) == (2.0, 5)
    assert points != [points[0]]


@pytest.mark.parametrize("timestamp", [-(1 << 60), 1 << 60, 253402300800000])
def test_a_time_that_no_clock_shows_breaks_nothing(timestamp: int) -> None:
    history = [{"step": 1, "value": 0.5, "timestamp": timestamp}]
    (point,) = series_of(run_of(1), lambda *_: history).series["metric 000000"]
    assert point.time.year in (1970, 9999)


def test_an_answer_is_thinned_to_so_many_values_of_all_metrics_together() -> None:
    found = series_of(run_of(MOST_METRICS), lambda *_: [value(step, 0.5) for step in range(400)])
    view = JobMetrics.of("job", found, 10_000)
    assert sum(map(len, view.series.values())) == MOST_VALUES
    assert {(points[0].step, points[-1].step) for points in view.series.values()} == {(0, 399)}
    assert view.metrics_total == MOST_METRICS


def test_an_answer_of_mlflows_that_is_too_long_is_not_read() -> None:
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for _ in range(MAX_RESPONSE_BYTES // 1000):
            read += 1 << 20
            yield b" " * (1 << 20)

    client = MlflowClient(
        "http://mlflow.test", httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body())))
    )
    with pytest.raises(MlflowRefused, match="more than 16777216 bytes"):
        client.series("r")
    client.close()
    assert read <= MAX_RESPONSE_BYTES + (2 << 20)
