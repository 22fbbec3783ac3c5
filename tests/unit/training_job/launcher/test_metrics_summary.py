import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from training_job.launcher import metrics_summary
from training_job.launcher.run_log import Records
from training_job.tracking.client import Metric

Read = Callable[[], list[dict[str, Any]]]


def logged(values: Mapping[str, float]) -> Records:
    return Records(metrics=[Metric(name=name, value=value, step=7, time=0) for name, value in values.items()])


def added(records: Read) -> dict[str, tuple[float, int | None]]:
    return {record["metric"]: (record["value"], record["step"]) for record in records()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"accuracy": 0.5, "loss": 1, "validation/main/accuracy": 0.9}, {}),
        ({"validation/main/accuracy": 0.9, "main/accuracy": 0.99}, {"accuracy": (0.9, 7)}),
        ({"main/accuracy": 0.99}, {}),
        ({"Accuracy": 0.8}, {"accuracy": (0.8, 7)}),
        ({"val/validation/main/accuracy": 0.7}, {"accuracy": (0.7, 7)}),
        ({"a/validation/main/accuracy": 0.7, "b/validation/main/accuracy": 0.6}, {}),
        ({"main/loss": 2, "validation/main/loss": 3}, {"loss": (2, 7)}),
    ],
)
def test_a_gate_finds_accuracy_and_loss(
    tmp_path: Path, records: Read, values: Mapping[str, float], expected: Mapping[str, Any]
) -> None:
    metrics_summary.add(logged(values), tmp_path)
    assert added(records) == expected


def test_what_the_script_wrote_comes_last(tmp_path: Path, records: Read) -> None:
    (tmp_path / "metrics.json").write_text(
        json.dumps(
            {"accuracy": 0.9, "same": 1, "n": 3, "t": "x", "b": True, "l": [1], "nan": float("nan"), "big": 10**400}
        )
    )
    metrics_summary.add(logged({"accuracy": 0.8, "same": 1}), tmp_path)
    assert added(records) == {"accuracy": (0.9, 7), "n": (3, None)}


@pytest.mark.parametrize("content", ["junk", "[1]", " " * (1 << 20) + "{}", "[" * 100_000])
def test_a_file_that_is_something_else_is_left_out(
    tmp_path: Path, records: Read, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.json").write_text(content)
    metrics_summary.add(Records(), tmp_path)
    assert added(records) == {}
    assert "metrics.json" in caplog.text
