"""`make up`: the whole of Kedja on this machine, in the foreground, until Ctrl-C."""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
from attrs import define, field, fields
from rich.console import Console
from rich.table import Table

from local_azure.errors import LocalAzureError
from local_azure.stack.managed_process import Component, end
from local_azure.stack.stack import Ports, Stack

ROOT = Path(__file__).parents[2]
_POLL = 0.5  # seconds
_RESTARTS = 20
"""Restarts of one component after which something is wrong that another start will not fix."""

Say = Callable[[str], None]


@define
class Supervisor:
    """Starts the stack's processes in order, starts again one that dies, and stops them all."""

    stack: Stack
    say: Say
    components: list[Component] = field(factory=list, init=False)
    _restarts: dict[str, int] = field(factory=dict, init=False)

    def start(self) -> None:
        """Start everything, and return when all of it can be used.

        Raises:
            LocalAzureError: where a port is in use or a process does not start.
        """
        self._end_leftovers()
        self.stack.ports.check_free()
        for component in self.stack.storage_components():
            self._start(component)
        self.stack.provision()
        services = self.stack.service_components()
        for component in services:
            self.say(f"starting {component.name}")
            self.components.append(component)
            component.start()
        self._remember()
        for component in services:
            component.wait_until_healthy()

    def _start(self, component: Component) -> None:
        self.say(f"starting {component.name}")
        self.components.append(component)
        component.start()
        self._remember()
        component.wait_until_healthy()

    def watch(self) -> None:
        """Start again what has died, as the platform does in Azure.

        Raises:
            LocalAzureError: where a process dies again and again.
        """
        for component in self.components:
            if component.is_running:
                continue
            count = self._restarts[component.name] = self._restarts.get(component.name, 0) + 1
            if count > _RESTARTS:
                raise LocalAzureError(f"{component.name} died {count} times; see {component.log}.")
            self.say(f"{component.name} died (exit code {component.exit_code}); starting it again")
            component.start()
            self._remember()
            component.wait_until_healthy()

    def stop(self) -> None:
        """Stop everything, in the opposite order."""
        for component in reversed(self.components):
            component.stop()
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self.stack.state / "processes.json"

    def _remember(self) -> None:
        """Keep which processes are ours, so that a supervisor that was killed leaves none behind for good."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        processes = []
        for component in self.components:
            with contextlib.suppress(psutil.NoSuchProcess):
                if component.pid is not None:
                    processes.append([component.pid, psutil.Process(component.pid).create_time()])
        self._file.write_text(json.dumps(processes))

    def _end_leftovers(self) -> None:
        """End what an earlier supervisor left when it was killed."""
        if not self._file.exists():
            return
        leftovers = []
        for pid, created in json.loads(self._file.read_text()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.create_time() == created:
                    leftovers += [process, *process.children(recursive=True)]
        if leftovers:
            self.say(f"ending {len(leftovers)} processes that an earlier start left behind")
            end(leftovers)
        self._file.unlink()


@contextlib.contextmanager
def running(stack: Stack, say: Say) -> Iterator[Supervisor]:
    """Run the stack for as long as the context."""
    supervisor = Supervisor(stack, say)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


def interrupted_once() -> None:
    """Have the first SIGTERM or SIGINT raise KeyboardInterrupt, and the later ones nothing.

    Stopping every process takes some seconds, and an impatient second Ctrl-C would leave some of them behind.
    """
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the stack listens and keeps its state."""
    for one in fields(Ports):
        flag = f"--{one.name.replace('_', '-')}-port"
        parser.add_argument(flag, type=int, default=one.default, metavar="PORT", help="default: %(default)s")
    parser.add_argument("--state", type=Path, default=ROOT / ".kedja", help="where everything is kept")
    parser.add_argument("--quiet-period", type=float, default=10.0, metavar="SECONDS", help="default: %(default)g")
    parser.add_argument("--concurrency", type=_count, default=1, metavar="JOBS", help="jobs at once; default: 1")
    parser.add_argument(
        "--training-python",
        type=Path,
        default=ROOT / ".venv-training" / "bin" / "python",
        help="the Python that jobs run in",
    )


def stack_of(options: argparse.Namespace) -> Stack:
    """Return the stack that the options describe."""
    ports = Ports(**{one.name: getattr(options, f"{one.name}_port") for one in fields(Ports)})
    return Stack(
        root=ROOT,
        state=options.state.resolve(),
        ports=ports,
        training_python=options.training_python.absolute(),
        quiet_period=options.quiet_period,
        concurrency=options.concurrency,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def addresses(stack: Stack) -> Table:
    """Return where everything is, for a person."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("drop files", f"{stack.account.blob_endpoint}  containers data and scripts, a folder per experiment")
    if (stack.ports.blob, stack.ports.queue) == (Ports().blob, Ports().queue):
        table.add_row("", "any Azure client with UseDevelopmentStorage=true reaches it")
    table.add_row("HTTP API", f"{stack.functions_url}/api/health  {stack.functions_url}/api/openapi.json")
    table.add_row("MLflow", stack.mlflow_url)
    table.add_row("Event Grid", f"{stack.event_grid_url}/topics")
    table.add_row("state and logs", f"{stack.state}  {stack.state / 'logs'}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack until SIGINT or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local_azure.stack.supervisor", description=__doc__)
    add_options(parser)
    stack = stack_of(parser.parse_args(arguments))
    console = Console(highlight=False)
    interrupted_once()
    try:
        with running(stack, lambda line: console.print(f"[dim]{line}[/]")) as supervisor:
            console.print(addresses(stack))
            console.print("[bold green]Kedja is up.[/] Ctrl-C stops it.")
            while True:
                time.sleep(_POLL)
                supervisor.watch()
    except KeyboardInterrupt:
        console.print("stopped")
        return 0
    except LocalAzureError as error:
        console.print(f"[bold red]{error}[/]", soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
