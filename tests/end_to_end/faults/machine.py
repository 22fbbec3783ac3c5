"""The machine: the whole local stack behind doors, with two functions hosts, where anything may be killed."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
from attrs import define, field
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from local_azure.credentials import TOPIC_KEY
from local_azure.stack.managed_process import ManagedProcess
from local_azure.stack.stack import Ports, Stack
from local_azure.stack.supervisor import ROOT
from local_azure.storage.storage_proxy import StorageProxy, create_app, upstream_client
from local_azure.training.job_store import DATABASE, JobStore
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.door import Door, EventDoor, Gate, open_door, serving
from tests.end_to_end.faults.inner_ports import InnerPorts, free_ports, url_of
from tests.end_to_end.faults.job_killer import JobKiller
from tests.end_to_end.faults.pace import SHORT, Pace, copy_app
from tests.end_to_end.faults.parts import HOSTS, Parts
from tests.end_to_end.faults.schedule import Place

AUTOSAVE = 6.5
"""Seconds after which Azurite has written down what it has said yes to: it saves every five."""
START_TIMEOUT = 300.0
"""Seconds; a machine may have other things to do."""
_POLL = 0.1


@define(kw_only=True)
class Machine:
    """A stack that is up."""

    parts: Parts
    board: Board
    gate: Gate = field(factory=Gate, init=False)
    processes: dict[str, ManagedProcess] = field(factory=dict, init=False)
    _stopping: threading.Event = field(factory=threading.Event, init=False)
    _watchers: list[threading.Thread] = field(factory=list, init=False)
    _azurite_kills: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    @classmethod
    @contextlib.contextmanager
    def running(cls, state: Path, board: Board, *, source: Path = ROOT, pace: Pace = SHORT) -> "Iterator[Machine]":
        """Run the stack with the app of the tree `source`, its state in the folder `state`."""
        app = state / "app"
        copy_app(source, app, pace)
        ports = iter(free_ports(14))
        named = {name: next(ports) for name in Ports().named()}
        stack = Stack(
            root=app,
            state=state,
            ports=Ports(**named),
            training_python=ROOT / ".venv-training" / "bin" / "python",
            quiet_period=pace.quiet_period,
            timing=pace.timing,
        )
        parts = Parts(stack=stack, inner=InnerPorts.of(ports), pace=pace, app=app)
        machine = cls(parts=parts, board=board)
        with serving(machine.doors):
            try:
                machine.start()
                yield machine
            finally:
                machine.stop()

    @property
    def stack(self) -> Stack:
        return self.parts.stack

    # --- the doors

    def doors(self, stack: contextlib.AsyncExitStack) -> list[tuple[ASGIApp, int]]:
        ports, inner = self.stack.ports, self.parts.inner
        http = upstream_client()
        stack.push_async_callback(http.aclose)
        blobs = create_app(
            upstream=url_of(ports.azurite),
            event_grid=self.stack.event_grid_url,
            key=TOPIC_KEY,
            public_endpoint=url_of(ports.blob),
            middleware=[Middleware(lambda app: self._door(app, Place.BLOBS))],
        )
        events = EventDoor(
            app=self._door(self._proxy(inner.event_grid, http), Place.PUBLISHING),
            upstream=url_of(inner.event_grid),
            board=self.board,
            http=http,
        )
        return [
            (blobs, ports.blob),
            (self._door(self._proxy(inner.queue, http), Place.QUEUES), ports.queue),
            (self._door(self._proxy(inner.mlflow, http), Place.MLFLOW), ports.mlflow),
            (events, ports.event_grid),
            (self._door(open_door, Place.TRAINING), inner.training),
            (self._door(self._proxy(ports.azurite, http), None), inner.plain_blob),
            (self._door(self._proxy(inner.queue, http), None), inner.plain_queue),
        ]

    def _proxy(self, port: int, http: httpx.AsyncClient) -> ASGIApp:
        return StorageProxy(url_of(port), http, lambda _: None)

    def _door(self, app: ASGIApp, place: Place | None) -> Door:
        return Door(
            app=app, board=self.board, place=place, kill=self._kill, gate=self.gate, timeout=self.parts.pace.timeout
        )

    # --- the processes

    def start(self) -> None:
        for process in self.parts.storage():
            self._start(process)
            process.wait_until_healthy()
        self.stack.provision()
        (self.stack.state / "mlflow").mkdir(parents=True, exist_ok=True)
        services = self.parts.services()
        for process in services:
            self._start(process)
        for process in services:
            process.wait_until_healthy()
        store = JobStore(self.stack.state / "training" / DATABASE)
        killer = JobKiller(store=store, board=self.board, stopping=self._stopping)
        self._watchers = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("watch", self._watch), ("killer of jobs", killer.run))
        ]
        for thread in self._watchers:
            thread.start()

    def _start(self, process: ManagedProcess) -> None:
        process.start_timeout = START_TIMEOUT
        self.processes[process.name] = process
        process.start()

    def _watch(self) -> None:
        """Start again what has died, at once, as the platform does in Azure."""
        while not self._stopping.wait(_POLL):
            for process in self.processes.values():
                if not process.is_running and not self._stopping.is_set():
                    process.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._watchers:  # or one starts again what is stopped here
            thread.join()
        for process in reversed(self.processes.values()):
            kill_group(process)

    async def _kill(self, kind: str, port: int) -> None:
        if kind == "kill Azurite":
            # It keeps what it acknowledged in memory for up to five seconds, which no storage account does.
            async with self._azurite_kills:
                with self.gate.closed():
                    await asyncio.sleep(AUTOSAVE)
                    await asyncio.to_thread(self._restart, "azurite")
        elif kind == "kill MLflow":
            await asyncio.to_thread(self.kill, "mlflow")
        elif kind == "kill the runner":
            await asyncio.to_thread(self.kill, "training-runner")
        else:
            await asyncio.to_thread(self._kill_caller, port)

    def _restart(self, name: str) -> None:
        process = self.processes[name]
        self.kill(name)
        deadline = time.monotonic() + 60
        while not (process.is_running and process.healthy()) and time.monotonic() < deadline:
            time.sleep(_POLL)

    def kill(self, name: str) -> None:
        """`kill -9` a part with all that belongs to it; whoever watches starts it again."""
        if name in HOSTS:
            _kill(self._host(name))
        else:
            kill_group(self.processes[name])

    def _kill_caller(self, port: int) -> None:
        """Kill the functions host whose request this is; where another part made it, the first host."""
        caller = next((name for name in HOSTS if _has_port(self._host(name), port)), HOSTS[0])
        _kill(self._host(caller))

    def _host(self, name: str) -> psutil.Process | None:
        """Return a host's process: the one that another forked, where that is how it was started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.processes[name].pid)
            children = process.children()
            return children[0] if children else process if self.parts.pace.host_module != SHORT.host_module else None
        return None


def kill_group(process: ManagedProcess) -> None:
    """`kill -9` a process and those of its group: jobs have groups of their own."""
    if process.pid is not None and process.is_running:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()


def _kill(process: psutil.Process | None) -> None:
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _has_port(process: psutil.Process | None, port: int) -> bool:
    try:
        connections = process.net_connections("tcp") if process is not None else []
    except psutil.NoSuchProcess:
        return False
    return any(one.laddr and one.laddr.port == port for one in connections)
