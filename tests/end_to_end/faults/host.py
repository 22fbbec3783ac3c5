"""A functions host in which waiting is short and a restart is quick, so that a thousand schedules take two hours.

It is `local_azure.functions_host` over the app's own code. Only the constants that say how long to wait are others,
and those of the storage client; `recovery` measures with the real ones. The libraries are imported once, by a process
that only forks the host, and forks it again when it is killed.
"""

import importlib
import os
import sys
from datetime import timedelta

from azure.storage.blob import ExponentialRetry
from azure.storage.queue import ExponentialRetry as QueueRetry

from local_azure import functions_host

SHORT: dict[str, object] = {
    "azure_storage.RENEW_AFTER": 4.0,
    "completion.BUSY_DELAY": 1.0,
    "reconciliation.IN_FLIGHT": timedelta(seconds=30),
    "reconciliation.LOST_SUBMISSION": timedelta(seconds=20),
    "registration.LEASE_SECONDS": 15,
    "registration.UPLOAD_CHECK": 1.0,
    "looking_again.COPY_CHECK": 1.0,
    "looking_again.UNAVAILABLE_CHECK": 1.0,
    "retrying.FIRST_DELAY": 0.5,
    "retrying.LONGEST_DELAY": 5.0,
}
"""Constants of `function_app`, by module; seconds where they are numbers."""

_PARTS = ("function_app.app", "function_app.kedja", "function_app.http_service", "tests.end_to_end.faults.training")


def shorten() -> None:
    """Make waiting short in this process. An AttributeError says that a constant has another name by now."""
    for place, value in SHORT.items():
        name, constant = place.split(".")
        module = importlib.import_module(f"function_app.{name}")
        getattr(module, constant)
        setattr(module, constant, value)
    for retry in (ExponentialRetry, QueueRetry):
        setattr(retry, "get_backoff_time", lambda _self, _settings: 0.2)  # noqa: B010 - a method of a class not ours


def serve_for_ever() -> int:
    """Fork a host, and another one whenever it is killed; return the status of one that ends by itself."""
    for part in _PARTS:
        importlib.import_module(part)
    while True:
        child = os.fork()
        if child == 0:
            status = functions_host.main()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        if not os.WIFSIGNALED(ended):
            return os.waitstatus_to_exitcode(ended)


if __name__ == "__main__":
    shorten()
    os._exit(serve_for_ever())
