"""Preemption: whether a job failed by itself, or because it lost its node or its process was killed from outside.

Azure ML cancels a job whose low-priority node is taken away
(https://learn.microsoft.com/azure/machine-learning/how-to-manage-optimize-cost#use-low-priority-vms); a process that is
killed leaves no result, or a result that names SIGKILL.
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


def killed_reason(job: Job, result: JobResult | None, spec: Mapping[str, Any]) -> str | None:
    """Return why a failed job is to be resumed in another attempt, or None if it failed by itself.

    Not resumed are sweeps (they outlive each of their trials), and jobs that never began, used up their time, or whose
    command ended with an exit code of its own.
    """
    may_go_on = job.status is JobStatus.FAILED and job.started is not None and spec.get("type") != "sweep"
    if not may_go_on or _used_its_time(job, spec):
        return None
    if result is None or result.result == "completed":
        code = _EXIT_CODE.search(job.error or "")
        if code is not None and int(code[1]) != _KILLED:
            return None
        # A job that was killed after it wrote its result, and before it ended, has left "completed".
        left = "left no result" if result is None else "had only just completed"
        return f"the job was killed and {left} ({job.error or job.detail})"
    if result.result != "failed" or result.signal != "SIGKILL" or result.out_of_memory:
        return None
    # When one rank fails, mpirun kills all the others; `launch` reports which one failed.
    if result.failed_rank is not None:
        return None
    return "the script's process was killed by SIGKILL from outside"


def lost_node_reason(job: Job, receipt: Receipt, training: TrainingService) -> str | None:
    """Return why a job that was canceled without Kedja is to be resumed, or None if it is not.

    On low-priority nodes, a cancellation by a person in the service itself looks the same as one by the service.

    Raises:
        TrainingServiceUnavailable: The service did not answer.
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
    """Return whether the job was canceled by its own time limit."""
    return "timeout" in (job.error or "").lower() or _used_its_time(job, spec)


def _used_its_time(job: Job, spec: Mapping[str, Any]) -> bool:
    """Return whether the job ran for its whole time limit (`limits.timeout`, in seconds)."""
    limit = (spec.get("limits") or {}).get("timeout")
    if limit is None or job.started is None or job.ended is None:
        return False
    return (job.ended - job.started).total_seconds() >= float(limit)
