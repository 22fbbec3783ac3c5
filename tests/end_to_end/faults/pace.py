"""The pace of a run: how long things take, and the copy of the app that runs so."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from local_azure.functions_host.queue_listener import REAL_LEASE

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@frozen(kw_only=True)
class Pace:
    """How long things take; seconds. `SHORT` lets a thousand schedules take two hours, `REAL` is as in Azure."""

    host_module: str
    quiet_period: float
    timing: Mapping[str, float]
    """What of `function_app.timing.Timing` differs from production."""
    message_lease: int
    timeout: float
    queues: dict[str, object] | None
    """`extensions.queues` of host.json; None leaves the app's own."""


SHORT = Pace(
    host_module="tests.end_to_end.faults.host",
    quiet_period=0.4,
    timing={
        "storage_retry": 0.2,
        "first_retry": 0.5,
        "max_retry": 5.0,
        "copy_check": 1.0,
        "outage_check": 1.0,
        "busy_check": 1.0,
        "upload_check": 1.0,
        "lease": 15,
        "lease_renewal": 4.0,
        "max_function_runtime": 30.0,
        "lost_submission": 20.0,
        "max_request_runtime": 25.0,
        "missing_job": 25.0,
        "unreadable_snapshot": 20.0,
    },
    message_lease=12,
    timeout=3.0,
    queues={
        "batchSize": 8,
        "newBatchThreshold": 4,
        "maxDequeueCount": 10,
        "maxPollingInterval": "00:00:01",
        "messageEncoding": "base64",
        "visibilityTimeout": "00:00:01",
    },
)
REAL = Pace(
    host_module="local_azure.functions_host",
    quiet_period=10.0,
    timing={},
    message_lease=int(REAL_LEASE),
    timeout=70.0,
    queues=None,
)


def copy_app(source: Path, app: Path, pace: Pace) -> None:
    """Copy what the stack runs of a tree, so that the run keeps its code while the tree changes."""
    app.mkdir(parents=True)
    for package in ("function_app", "local_azure", "training_job"):
        shutil.copytree(source / package, app / package, ignore=_IGNORED)
    shutil.copytree(Path(__file__).parent, app / "tests" / "end_to_end" / "faults", ignore=_IGNORED)
    shutil.copy(source / "app.py", app)
    host = json.loads((source / "host.json").read_text())
    if pace.queues is not None:
        host["extensions"]["queues"] = pace.queues
    (app / "host.json").write_text(json.dumps(host))
