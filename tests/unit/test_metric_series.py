import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from function_app.metric_series import MetricPoint, RunSeries, series_of
from local_azure.mlflow_client import MlflowClient

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MILLISECONDS = int(AT.timestamp() * 1000)


def value(step: int, number: float) -> dict[str, Any]:
    return {"key": "loss", "value": number, "timestamp": MILLISECONDS, "step": step}


def test_values_come_in_the_order_of_their_steps() -> None:
    found = series_of({"data": {"metrics": [{"key": "loss"}]}}, lambda _: [value(2, 0.1), value(1, 0.2)])

    assert found.series == {"loss": [MetricPoint(step=1, value=0.2, time=AT), MetricPoint(step=2, value=0.1, time=AT)]}


def test_what_protocol_buffers_leave_out_is_zero_and_long_numbers_may_be_text() -> None:
    history = [{"key": "loss"}, {"key": "loss", "step": "3", "value": "NaN", "timestamp": str(MILLISECONDS)}]
    first, second = series_of({"data": {"metrics": [{"key": "loss"}]}}, lambda _: history).series["loss"]

    assert (first.step, first.value) == (0, 0.0)
    assert second.step == 3
    assert math.isnan(second.value)


def test_a_run_that_logged_nothing_is_empty() -> None:
    assert series_of({"info": {}}, lambda _: []) == RunSeries()


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
