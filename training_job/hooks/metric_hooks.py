"""Records the values of Chainer's extensions as the job's metrics, without a change to the script.

The entries of `LogReport` are recorded, which are also the source of PrintReport, PlotReport and the log file. The
results of an `Evaluator` are recorded only if the Trainer has no LogReport. The step of a metric is the iteration.
"""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder


@contextlib.contextmanager
def _log_report(module: ModuleType) -> Iterator[None]:
    yield
    report = module.LogReport.__call__

    @functools.wraps(report)
    def call(self: Any, trainer: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        before = len(self.log)
        result = report(self, trainer)
        for entry in self.log[before:]:
            _send({key: value for key, value in entry.items() if key != "iteration"}, entry.get("iteration"))
        return result

    module.LogReport.__call__ = call


@contextlib.contextmanager
def _evaluator(module: ModuleType) -> Iterator[None]:
    yield
    evaluate = module.Evaluator.__call__

    @functools.wraps(evaluate)
    def call(self: Any, trainer: Any = None) -> Any:  # noqa: ANN401 - Chainer has no types
        result = evaluate(self, trainer)
        if trainer is not None and not _has_log_report(trainer):
            _send(result, trainer.updater.iteration)
        return result

    module.Evaluator.__call__ = call


def _has_log_report(trainer: Any) -> bool:  # noqa: ANN401 - Chainer has no types
    from chainer.training.extensions import LogReport  # noqa: PLC0415 - only in a process that trains

    entries = trainer._extensions.values()  # noqa: SLF001 - get_extension needs a name, and scripts rename extensions
    return any(isinstance(entry.extension, LogReport) for entry in entries)


def _send(values: Mapping[str, Any], step: int | None) -> None:
    """Record numbers, and arrays of one number (also on a GPU), as metrics. Other values are ignored."""
    found = {}
    for name, value in values.items():
        try:
            found[name] = float(getattr(value, "array", value))
        except (TypeError, ValueError):
            continue
    metrics.log(found, step=step)


PATCHES = (
    Patch(
        module="chainer.training.extensions.log_report",
        symptom="nothing: the values would stay in the log file",
        since="-",
        fix="each new entry of the log is sent to the job's metrics",
        apply=_log_report,
    ),
    Patch(
        module="chainer.training.extensions.evaluator",
        symptom="nothing: the values would stay in the Trainer",
        since="-",
        fix="results are sent to the job's metrics, unless a LogReport does it",
        apply=_evaluator,
    ),
)

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Install the hooks, if `launch` started this process."""
    if metrics.FILE_VARIABLE in os.environ:
        import_hook.install(_FINDER)
