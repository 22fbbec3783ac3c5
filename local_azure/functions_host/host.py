"""A Functions host for one machine: `python -m local_azure.functions_host --root . --settings local.settings.json`.

It runs a function app under the real Python worker library, and does what the real host does around it: HTTP, queue,
timer and Event Grid triggers, with the real host's timings and encodings. It writes one line to standard output, when
it is ready; logs and the output of functions go to standard error. On SIGTERM or SIGINT it accepts no more work, waits
a few seconds for running functions, and exits with 0. A message whose function still runs then, or is ended by a
kill -9, becomes visible again when its lease ends (see `queue_listener`; `--message-lease` shortens it).

Not modelled: function and system keys, output bindings, retry decorators, the function timeout, scaling, and other
triggers. An app that uses an unsupported binding is refused at start.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from attrs import frozen
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from local_azure.clock import Clock, SystemClock
from local_azure.errors import LocalAzureError
from local_azure.functions_host.admin import HostAdmin
from local_azure.functions_host.event_grid_webhook import EventGridWebhook
from local_azure.functions_host.http_trigger import HttpDispatcher, HttpTrigger
from local_azure.functions_host.log import log_to_stderr
from local_azure.functions_host.queue_listener import POISON_SUFFIX, REAL_LEASE, QueueListener, QueueTrigger
from local_azure.functions_host.settings import HostSettings, is_disabled, load_local_settings, queue_client, resolve
from local_azure.functions_host.timer_listener import ScheduleFile, TimerListener, TimerTrigger
from local_azure.functions_host.timer_schedule import TimerSchedule
from local_azure.functions_host.worker import Function, Worker, WorkerError, is_trigger
from local_azure.http_server import address_of, listen
from local_azure.port_guard import PortGuard, page_origins

_log = logging.getLogger(__name__)

_TRIGGERS = ("httptrigger", "queuetrigger", "timertrigger", "eventgridtrigger")
_KEEP_ALIVE = 120  # seconds; longer than clients keep an idle connection
_EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@frozen(kw_only=True)
class HostOptions:
    """The options of the command line. Times are in seconds; port 0 takes a free one."""

    root: Path
    settings: Path | None = None
    state: Path
    port: int = 7071
    message_lease: int = int(REAL_LEASE)
    drain: float = 5


class FunctionsHost:
    """The listeners and the HTTP app around a worker."""

    def __init__(self, worker: Worker, settings: HostSettings, options: HostOptions, clock: Clock) -> None:
        for function in worker.functions:
            _check_bindings(function)
        self._worker = worker
        self._settings = settings
        self._options = options
        self._clock = clock
        # The admin API can start a disabled function, as it can on the real host.
        self._timers = {function.name: self._timer(function) for function in _with_trigger(worker, "timertrigger")}
        queues = [
            self._queue(function)
            for function in _with_trigger(worker, "queuetrigger")
            if not is_disabled(function.name)
        ]
        timers = [timer for name, timer in self._timers.items() if not is_disabled(name)]
        self._listeners: list[QueueListener | TimerListener] = [*queues, *timers]

    def app(self) -> Starlette:
        """Return the ASGI app: the admin API, the Event Grid webhook, then the functions' routes."""
        admin = HostAdmin(self._worker, self._timers)
        front = HttpDispatcher(
            self._worker,
            [
                HttpTrigger.of(function, self._settings.route_prefix)
                for function in _with_trigger(self._worker, "httptrigger")
                if not is_disabled(function.name)
            ],
            homepage=os.environ.get("AzureWebJobsDisableHomepage", "").lower() not in ("true", "1"),  # noqa: SIM112 - the real host's name
        )
        webhook = EventGridWebhook(self._worker).answer
        return Starlette(
            routes=[
                Route("/admin/host/status", admin.status, methods=["GET"]),
                Route("/admin/functions/{name}", admin.invoke, methods=["POST"]),
                Route("/runtime/webhooks/EventGrid", webhook, methods=_EVERY_METHOD),
                Route("/runtime/webhooks/eventgrid", webhook, methods=_EVERY_METHOD),
                Mount("/", app=front),
            ]
        )

    def listeners(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions to run until the host stops."""
        return [listener.listen for listener in self._listeners]

    async def drain(self) -> None:
        """Wait a few seconds for the functions that queues and timers started."""
        left = sum(await asyncio.gather(*(listener.drain(self._options.drain) for listener in self._listeners)))
        if left:
            _log.warning("%d functions still run; their messages come back when the lease ends.", left)

    def _queue(self, function: Function) -> QueueListener:
        binding = function.trigger
        name = resolve(str(binding["queueName"]))
        connection = str(binding.get("connection") or "")
        poison = None if name.endswith(POISON_SUFFIX) else queue_client(name + POISON_SUFFIX, connection)

        async def execute(*arguments: Any) -> bool:  # noqa: ANN401 - passed through
            return (await self._worker.invoke(function.name, *arguments)).succeeded

        trigger = QueueTrigger(
            queue=queue_client(name, connection),
            poison=poison,
            options=self._settings.queues,
            lease=self._options.message_lease,
        )
        return QueueListener(trigger, execute, self._clock)

    def _timer(self, function: Function) -> TimerListener:
        binding = function.trigger
        schedule = TimerSchedule.parse(resolve(str(binding["schedule"])))
        monitored = binding.get("useMonitor", True) and not schedule.is_below_a_minute

        async def execute(*arguments: Any) -> None:  # noqa: ANN401 - as above
            await self._worker.invoke(function.name, *arguments)

        trigger = TimerTrigger(
            schedule=schedule,
            file=ScheduleFile(path=self._options.state / "timers" / f"{function.name}.json") if monitored else None,
            run_on_startup=bool(binding.get("runOnStartup", False)),
        )
        return TimerListener(trigger, execute, self._clock)


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handlers: the host has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def run(options: HostOptions, announce: Callable[[str], None], clock: Clock | None = None) -> None:
    """Run the host until SIGTERM or SIGINT; `announce` is called with a line when the host is ready.

    Raises:
        LocalAzureError: the settings, the app or one of its bindings is invalid, or the port is in use.
        ExceptionGroup: a listener failed permanently.
    """
    if options.settings is not None:
        load_local_settings(options.settings)
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")  # as `func start` does
    settings = HostSettings.read(options.root)
    with listen(options.port) as listening:
        worker = await Worker.start(options.root)
        log_to_stderr(worker.running)
        host = FunctionsHost(worker, settings, options, clock or SystemClock())
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        names = ", ".join(function.name for function in worker.functions)
        line = f"Functions {names} ready at {address_of(listening)}"
        await _serve(host, listening, lambda: announce(line), stop, options.drain)


async def _serve(
    host: FunctionsHost, listening: socket.socket, ready: Callable[[], None], stop: asyncio.Event, drain: float
) -> None:
    config = uvicorn.Config(
        PortGuard(host.app(), page_origins(listening.getsockname()[1])),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(drain)),
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([listening]))
        await server.ready.wait()
        listeners = [group.create_task(listen()) for listen in host.listeners()]
        await asyncio.sleep(0)  # every listener has started before the host reports that it is ready
        ready()
        await stop.wait()
        _log.info("Stopping: no more work is accepted.")
        server.should_exit = True
        for task in listeners:
            task.cancel()
        if listeners:
            await asyncio.wait(listeners)
        await asyncio.gather(asyncio.wait([serving]), host.drain())


def _with_trigger(worker: Worker, kind: str) -> list[Function]:
    return [function for function in worker.functions if str(function.trigger["type"]).lower() == kind]


def _check_bindings(function: Function) -> None:
    kinds = [str(binding["type"]).lower() for binding in function.bindings if is_trigger(binding)]
    if len(kinds) != 1 or kinds[0] not in _TRIGGERS:
        raise WorkerError(
            f"Function {function.name} has the triggers {kinds}; "
            f"the local host supports exactly one of {', '.join(_TRIGGERS)}."
        )
    for binding in function.bindings:
        # The response of an HTTP function is a binding too, and the only supported output.
        if not is_trigger(binding) and binding["type"] != "http":
            raise WorkerError(
                f"Function {function.name} has a binding {binding['type']!r}: beside triggers, "
                "the local host supports only http."
            )


def _options(arguments: Sequence[str] | None) -> HostOptions:
    parser = argparse.ArgumentParser(prog="python -m local_azure.functions_host", description=__doc__.split("\n\n")[0])
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the function app (default: this one)")
    parser.add_argument(
        "--settings", type=Path, help="a local.settings.json; variables that are already set take precedence"
    )
    parser.add_argument("--state", type=Path, help="folder for the timers' status (default: .kedja in the root)")
    parser.add_argument("--port", type=int, default=7071, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--message-lease",
        type=int,
        default=int(REAL_LEASE),
        metavar="SECONDS",
        help="how long a message stays invisible if the host dies (default: %(default)s, as the real host)",
    )
    parser.add_argument("--drain", type=float, default=5, metavar="SECONDS", help="how long a stop waits (default: 5)")
    parsed = vars(parser.parse_args(arguments))
    if parsed["message_lease"] < 1:
        parser.error("--message-lease must be at least 1 second")
    root = parsed["root"].resolve()
    parsed["state"] = (parsed["state"] or root / ".kedja").resolve()
    parsed["settings"] = parsed["settings"] and parsed["settings"].resolve()
    return HostOptions(**{**parsed, "root": root})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the host; return the process's exit status."""
    options = _options(arguments)
    ready = sys.stdout
    log_to_stderr({})
    with contextlib.redirect_stdout(sys.stderr):  # the output of functions belongs in the log
        try:
            # Not asyncio.run: it would cancel the app's remaining tasks and wait for them; a worker just exits.
            asyncio.new_event_loop().run_until_complete(run(options, lambda line: print(line, file=ready, flush=True)))
        except LocalAzureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except ExceptionGroup:
            _log.exception("The host stops: a listener failed.")
            return 1
    return 0
