"""Preemption: whether a job ended because of itself, or because its node or its process was taken from under it.

Azure ML cancels a job whose low-priority node is taken away
(https://learn.microsoft.com/azure/machine-learning/how-to-manage-optimize-cost#use-low-priority-vms); a process that is
killed leaves no result, or says that SIGKILL ended it.
"""

import re
from collections.abc import Mapping
from typing import Any

from function_app.domain.receipt import Receipt
from function_app.models.job_result import JobResult
from function_app.ports.training_service import Job, JobStatus, TrainingService

_KILLED = 128 + 9
_EXIT_CODE = re.compile(r"(?:exit|status) code:? (\d+)", re.IGNORECASE)
_SPOT = "spot"


def was_killed(job: Job, result: JobResult | None, spec: Mapping[str, Any]) -> str | None:
    """Return why a failed job is to go on in another attempt, or None where it failed by itself.

    A sweep is not resubmitted: it lives longer than each of its trials. Nor is a job that never began, that used up its
    time, or whose command ended with an exit code of its own.
    """
    may_go_on = job.status is JobStatus.FAILED and job.started is not None and spec.get("type") != "sweep"
    if not may_go_on or _used_its_time(job, spec):
        return None
    if result is None or result.result == "completed":
        code = _EXIT_CODE.search(job.error or "")
        if code is not None and int(code[1]) != _KILLED:
            return None
        # "Completed" is the last word of a job that was killed between it and its end.
        left = "left no result" if result is None else "had only just completed"
        return f"the job was killed and {left} ({job.error or job.detail})"
    if result.result != "failed" or result.signal != "SIGKILL" or result.out_of_memory:
        return None
    # mpirun kills every rank where one has failed, and `launch` says which one that was.
    if result.reason is not None and result.reason.startswith("rank "):
        return None
    return "the script's process was killed by SIGKILL from outside"


def lost_its_node(job: Job, receipt: Receipt, training: TrainingService) -> str | None:
    """Return why a job that was canceled is to go on, though nobody asked Kedja to cancel it, or None.

    On nodes that may be taken away, whoever cancels a job in the service itself cannot be told from the service.

    Raises:
        TrainingServiceUnavailable: ask again.
    """
    if job.status is not JobStatus.CANCELED or job.started is None or receipt.spec.get("type") == "sweep":
        return None
    if _took_too_long(job, receipt.spec):
        return None
    name = str(receipt.spec.get("compute") or "").removeprefix("azureml:")
    if receipt.spec.get("queue_settings", {}).get("job_tier", "").lower() != _SPOT:
        compute = next((one for one in training.computes() if one.name == name), None)
        if compute is None or not compute.is_low_priority:
            return None
    return f"its low-priority node was taken away ({job.error or job.detail})"


def _took_too_long(job: Job, spec: Mapping[str, Any]) -> bool:
    """Return whether the job was canceled by its own limit of time."""
    return "timeout" in (job.error or "").lower() or _used_its_time(job, spec)


def _used_its_time(job: Job, spec: Mapping[str, Any]) -> bool:
    """Return whether the job went on for as long as it may (`limits.timeout`, in seconds)."""
    limit = (spec.get("limits") or {}).get("timeout")
    if limit is None or job.started is None or job.ended is None:
        return False
    return (job.ended - job.started).total_seconds() >= float(limit)
