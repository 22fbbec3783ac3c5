"""Whole local stacks for the tests: each is started by whoever needs it first, and ends with the last who uses it.

Workers of pytest-xdist are processes, so a stack that they share runs in one of its own: `python -m
tests.end_to_end.stacks`. It watches who uses it and stops when nobody does, however they ended.
"""

import contextlib
import json
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from attrs import frozen
from filelock import FileLock

from local_azure.errors import LocalAzureError
from local_azure.stack.stack import Ports, Stack
from local_azure.stack.supervisor import ROOT, raise_interrupt_once, running

TIMING = {"copy_check": 1.0, "upload_check": 1.0, "busy_check": 2.0}
"""Looks again sooner than in Azure; everything else is as there."""
QUIET = 4.0  # seconds; storage tells times in whole ones, so a folder may count as quiet one second earlier
START_TIMEOUT = 240.0  # seconds
_POLL = 0.2  # seconds
FOUND = "found.json"
"""Where those who share a stack find its ports and its supervisor."""


@frozen(kw_only=True)
class StackKind:
    """A stack that tests share: how many jobs it runs at once, and its app settings beside the usual ones."""

    name: str
    concurrency: int
    app_settings: Mapping[str, str]
    is_exclusive: bool = False


SHARED = StackKind(name="shared", concurrency=3, app_settings={})
"""For many experiments at once. Nothing that changes how the whole stack works is done to it."""
TIMERS = ("reconcile", "tidy", "walk")
"""The functions that come every five minutes."""
ALONE = StackKind(
    name="alone",
    concurrency=1,
    app_settings={f"AzureWebJobs.{timer}.Disabled": "true" for timer in TIMERS},
    is_exclusive=True,
)
"""For one test at a time, which may pause it, lose events or kill its host. It reconciles only when it is asked to."""


def free_ports(count: int) -> Sequence[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_stack_ports() -> Ports:
    names = list(Ports().named())
    return Ports(**dict(zip(names, free_ports(len(names)), strict=True)))


@contextlib.contextmanager
def using(kind: StackKind, folder: Path) -> Iterator[tuple[Stack, psutil.Process]]:
    """Use the stack of this kind whose state is under `folder`; yield it and the process that supervises it."""
    users = folder / kind.name / "users"
    users.mkdir(parents=True, exist_ok=True)
    me = users / str(os.getpid())
    with FileLock(folder / kind.name / "lock"):
        if kind.is_exclusive and (others := _users(folder / kind.name)):
            raise LocalAzureError(f"Processes {others} use the stack that is for one alone: run with --dist loadgroup.")
        me.touch()
        state = _running(folder / kind.name) or _start(kind, folder / kind.name)
    found = json.loads((state / FOUND).read_text())
    supervisor = psutil.Process(found["supervisor"])
    try:
        yield _stack(kind, state, Ports(**found["ports"])), supervisor
    finally:
        me.unlink()
        if not _users(folder / kind.name):
            with contextlib.suppress(psutil.TimeoutExpired):
                supervisor.wait(60)


def _running(folder: Path) -> Path | None:
    """Return the state folder of the stack that is up, if there is one."""
    files = folder.glob(f"*/{FOUND}")
    return next((file.parent for file in files if psutil.pid_exists(json.loads(file.read_text())["supervisor"])), None)


def _users(folder: Path) -> Sequence[str]:
    return [user.name for user in (folder / "users").iterdir() if psutil.pid_exists(int(user.name))]


def _stack(kind: StackKind, state: Path, ports: Ports) -> Stack:
    return Stack(
        root=ROOT,
        state=state,
        ports=ports,
        training_python=ROOT / ".venv-training" / "bin" / "python",
        quiet_period=QUIET,
        timing=TIMING,
        concurrency=kind.concurrency,
    )


def _start(kind: StackKind, folder: Path) -> Path:
    state = Path(tempfile.mkdtemp(prefix="stack-", dir=folder))
    log = state / "supervisor.log"
    # Not a Popen, which minds that the stack outlives whoever started it.
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.end_to_end.stacks", kind.name, str(state)],
        {**os.environ, **kind.app_settings, "PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    deadline = time.monotonic() + START_TIMEOUT
    while not (state / FOUND).exists():
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
            raise LocalAzureError(f"The {kind.name} stack is not up: {log.read_text()}")
        time.sleep(_POLL)
    return state


def serve(kind: StackKind, state: Path) -> None:
    """Run the stack until nobody uses it."""
    ports = free_stack_ports()
    found, lock = state / FOUND, FileLock(state.parent / "lock")
    with running(_stack(kind, state, ports), logging.getLogger(__name__).info) as supervisor:
        atomic = found.with_suffix(".new")
        atomic.write_text(json.dumps({"supervisor": os.getpid(), "ports": ports.named()}))
        atomic.rename(found)
        while found.exists():
            time.sleep(_POLL)
            supervisor.watch()
            if not _users(state.parent):
                with lock:
                    if not _users(state.parent):
                        found.unlink()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    raise_interrupt_once()
    serve({kind.name: kind for kind in (SHARED, ALONE)}[sys.argv[1]], Path(sys.argv[2]))
