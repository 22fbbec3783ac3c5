"""A functions host that restarts quickly, so that a thousand schedules take two hours.

It is `local_azure.functions_host` over the app's own code. The libraries are imported once, by a process that only
forks the host, and forks it again when it is killed.
"""

import importlib
import os
import sys

from local_azure.functions_host import host

_PARTS = (
    "function_app.triggers",
    "function_app.container",
    "function_app.http.routes.service",
    "tests.end_to_end.faults.training",
)


def serve_for_ever() -> int:
    """Fork a host, and another one whenever it is killed; return the status of one that ends by itself."""
    for part in _PARTS:
        importlib.import_module(part)
    while True:
        child = os.fork()
        if child == 0:
            status = host.main()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        if not os.WIFSIGNALED(ended):
            return os.waitstatus_to_exitcode(ended)


if __name__ == "__main__":
    os._exit(serve_for_ever())
