"""The figures of a receipt."""

from typing import Any

import numpy as np
import pytest

from training_job.trainer.datasets.table import Table
from training_job.trainer.datasets.task import Task
from training_job.trainer.figures import scores, yardstick
from training_job.trainer.figures.assessment import Assessment


def outputs_of(predicted: Any, size: int = 2, height: float = 3.0) -> Any:  # noqa: ANN401 - arrays
    return (np.eye(size)[predicted] * height).astype(np.float32)


def test_the_figures_of_classes() -> None:
    truth = np.array([0] * 50 + [1] * 50)
    predicted = truth.copy()
    predicted[:5] = 1
    found = scores.figures_of(Task.CLASSIFICATION, outputs_of(predicted), truth)
    assert found["accuracy"] == 0.95
    # Wilson's interval of 95 of 100, as R's binom.confint(95, 100, methods = "wilson") has it.
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((0.8882, 0.9785), abs=1e-4)
    assert found["macro_f1"] == pytest.approx((2 * 45 / 95 + 2 * 50 / 105) / 2)
    assert found["auc"] == pytest.approx(0.95)
    sure = np.exp(3) / (np.exp(3) + 1)
    assert found["log_loss"] == pytest.approx(-0.95 * np.log(sure) - 0.05 * np.log(1 - sure), rel=1e-5)
    assert found["calibration_error"] == pytest.approx(abs(sure - 0.95), rel=1e-4)


def test_one_class_has_no_area_under_its_curve() -> None:
    assert "auc" not in scores.figures_of(Task.CLASSIFICATION, outputs_of(np.array([0, 1])), np.array([1, 1]))


def test_the_figures_of_a_quantity() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(100, 10, 400)
    found = scores.figures_of(Task.REGRESSION, (truth + rng.normal(0, 5, 400))[:, None], truth)
    assert found["r2"] == pytest.approx(0.75, abs=0.1)
    assert found["r2_low"] < found["r2"] < found["r2_high"]
    assert found["rmse"] == pytest.approx(5, rel=0.1)
    assert found["mae"] == pytest.approx(4, rel=0.1)


def test_the_figures_of_each_class() -> None:
    counts = scores.confusion_matrix(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    first, second, third = scores.per_class(counts, ("a", "b", "c"))
    assert (first["precision"], first["recall"], first["f1"]) == (1, 0.5, pytest.approx(2 / 3))
    assert (second["precision"], second["recall"]) == (pytest.approx(2 / 3), 1)
    assert (third["examples"], third["precision"], third["f1"]) == (0, 0, 0)


def assessed(wrong: int, boosting_wrong: int, count: int = 200) -> Assessment:
    y: Any = np.arange(count) % 2
    own, other = y.copy(), y.copy()
    own[:wrong] = 1 - own[:wrong]
    other[count - boosting_wrong :] = 1 - other[count - boosting_wrong :]
    table = Table(x=np.zeros((count, 1), np.float32), y=y.astype(np.int32), source="t.csv", classes=("0", "1"))
    found = yardstick.Yardstick(baseline=np.zeros(count), boosting=other)
    return Assessment(split="test", table=table, outputs=outputs_of(own), yardstick=found)


def test_a_receipt_says_when_a_simpler_model_is_better() -> None:
    worse = assessed(30, 10)
    figures = worse.figures()
    assert (figures["baseline_accuracy"], figures["boosting_accuracy"]) == (0.5, 0.95)
    first, second = worse.notes(figures)
    assert first.startswith("Accuracy 0.850 (95 % interval 0.79")
    assert "a test set of 200 examples; a constant has 0.500 and gradient boosting 0.950" in first
    assert second == "A simpler model is better here: gradient boosting has accuracy 0.950, this network 0.850."
    close = assessed(11, 10)
    assert len(close.notes(close.figures())) == 1


def test_both_yardsticks_are_trained_on_what_the_network_is() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((300, 2)).astype(np.float32)
    y = ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)).astype(np.int32)
    table = Table(x=x, y=y, source="t.csv", classes=("0", "1"))
    found = yardstick.measure(table.take(slice(0, 200)), table.take(slice(200, 300)), seed=0)
    assert (found.boosting == y[200:]).mean() > 0.9
    assert set(found.baseline) == {np.bincount(y[:200]).argmax()}
