"""The figures of a model on examples that it was not trained on, with their 95 % intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from training_job.trainer.datasets.task import Task

_Z = 1.959964  # the normal distribution's quantile of 97.5 %
_BINS = 10
_RESAMPLES = 1000
_LEAST = 1e-7  # a probability of 0 would have an infinite loss


def softmax(outputs: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the probabilities of outputs before softmax, float64 (N, classes)."""
    outputs = outputs.astype(np.float64)
    exponents = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def main_figure(task: Task) -> str:
    """Return the name of the figure by which models are compared."""
    return "accuracy" if task is Task.CLASSIFICATION else "r2"


def figures_of(task: Task, outputs: Any, truth: Any) -> dict[str, float]:  # noqa: ANN401 - arrays
    """Return the figures of outputs: scores before softmax (N, classes), or quantities (N, 1).

    `log_loss` is in nats. `auc` is the area under the ROC curve, a mean over classes; without it, if `truth` holds one
    class only. `calibration_error` is the mean difference of confidence and accuracy, in ten bins of confidence
    (https://arxiv.org/abs/1706.04599). `rmse` and `mae` are in the target's units.
    """
    if task is Task.REGRESSION:
        return _regression(outputs[:, 0].astype(np.float64), truth.astype(np.float64))
    from sklearn.metrics import f1_score, roc_auc_score  # noqa: PLC0415 - imports SciPy: only if needed

    probabilities = softmax(outputs)
    predicted = probabilities.argmax(axis=1)
    right = predicted == truth
    found = {"accuracy": float(right.mean())}
    found["accuracy_low"], found["accuracy_high"] = wilson(int(right.sum()), len(truth))
    found["macro_f1"] = float(f1_score(truth, predicted, average="macro", zero_division=0))
    present = np.unique(truth)
    areas = [
        float(roc_auc_score(truth == label, probabilities[:, label]))
        for label in ([1] if probabilities.shape[1] == 2 else present)  # noqa: PLR2004 - one curve for two classes
    ] if len(present) > 1 else []  # fmt: skip
    if areas:
        found["auc"] = float(np.mean(areas))
    likelihoods = np.maximum(probabilities[np.arange(len(truth)), truth], _LEAST)
    found["log_loss"] = float(-np.log(likelihoods).mean())
    found["calibration_error"] = _calibration_error(probabilities.max(axis=1), right)
    return found


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share: https://doi.org/10.1080/01621459.1927.10502953."""
    share, square = right / count, _Z * _Z
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def _calibration_error(confidence: Any, right: Any) -> float:  # noqa: ANN401 - arrays
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(confidence[bins == one].mean() - right[bins == one].mean()) * (bins == one).sum() for one in set(bins)]
    return float(sum(gaps) / len(right))


def _regression(predicted: Any, truth: Any) -> dict[str, float]:  # noqa: ANN401 - arrays
    errors = predicted - truth
    found = {"r2": r2(predicted, truth)}
    rows = np.random.default_rng(0).integers(0, len(truth), (_RESAMPLES, len(truth)))
    resampled = [r2(predicted[one], truth[one]) for one in rows]
    limits: list[float] = np.quantile(resampled, (0.025, 0.975)).tolist()
    found["r2_low"], found["r2_high"] = limits
    return {**found, "rmse": float(np.sqrt((errors**2).mean())), "mae": float(np.abs(errors).mean())}


def r2(predicted: Any, truth: Any) -> float:  # noqa: ANN401 - arrays
    """Return the share of the variance that is explained; 0 if there is no variance."""
    total = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((predicted - truth) ** 2).sum() / total) if total > 0 else 0.0


def confusion_matrix(predicted: Any, truth: Any, size: int) -> Any:  # noqa: ANN401 - arrays
    """Return the counts of true (rows) and predicted classes (columns), int64 (classes, classes)."""
    counts: Any = np.zeros((size, size), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def per_class(counts: Any, classes: Sequence[str]) -> list[dict[str, Any]]:  # noqa: ANN401 - an array
    """Return the precision, recall and F1 score of each class, and how many examples it has. 0 where undefined."""
    right, predicted, there = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return [
        {
            "class": name,
            "examples": int(there[index]),
            "precision": float(right[index] / max(1, predicted[index])),
            "recall": float(right[index] / max(1, there[index])),
            "f1": float(2 * right[index] / max(1, predicted[index] + there[index])),
        }
        for index, name in enumerate(classes)
    ]
