"""`make up`: all of Kedja on this machine, in the foreground, until Ctrl-C."""

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
from local_azure.stack.managed_process import ManagedProcess, terminate
from local_azure.stack.stack import Ports, Stack

ROOT = Path(__file__).parents[2]
_POLL = 0.5  # seconds
_RESTARTS = 20
"""Max restarts of one process: after these, another will not help."""

Say = Callable[[str], None]


@define
class Supervisor:
    """Starts the stack's processes in order, restarts those that die, and stops all of them."""

    stack: Stack
    say: Say
    processes: list[ManagedProcess] = field(factory=list, init=False)
    _restarts: dict[str, int] = field(factory=dict, init=False)

    def start(self) -> None:
        """Start all processes, and return when they can be used.

        Raises:
            LocalAzureError: a port is in use, or a process does not start.
        """
        self._terminate_leftovers()
        self.stack.ports.check_free()
        for process in self.stack.storage_processes():
            self._start(process)
        self.stack.provision()
        services = self.stack.service_processes()
        for process in services:
            self.say(f"starting {process.name}")
            self.processes.append(process)
            process.start()
        self._record_processes()
        for process in services:
            process.wait_until_healthy()

    def _start(self, process: ManagedProcess) -> None:
        self.say(f"starting {process.name}")
        self.processes.append(process)
        process.start()
        self._record_processes()
        process.wait_until_healthy()

    def watch(self) -> None:
        """Restart processes that have died, as the platform does in Azure.

        Raises:
            LocalAzureError: a process died too often, or does not start.
        """
        for process in self.processes:
            if process.is_running:
                continue
            count = self._restarts[process.name] = self._restarts.get(process.name, 0) + 1
            if count > _RESTARTS:
                raise LocalAzureError(f"{process.name} died {count} times; see {process.log}.")
            self.say(f"{process.name} died (exit code {process.exit_code}); restarting it")
            process.start()
            self._record_processes()
            process.wait_until_healthy()

    def stop(self) -> None:
        """Stop all processes, in reverse order."""
        for process in reversed(self.processes):
            process.stop()
        self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self.stack.state / "processes.json"

    def _record_processes(self) -> None:
        """Store the process ids, so that the next start can end them if this supervisor is killed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        processes = []
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid is not None:
                    processes.append([process.pid, psutil.Process(process.pid).create_time()])
        self._file.write_text(json.dumps(processes))

    def _terminate_leftovers(self) -> None:
        """End the processes of an earlier supervisor that was killed."""
        if not self._file.exists():
            return
        leftovers = []
        for pid, created in json.loads(self._file.read_text()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.create_time() == created:
                    leftovers += [process, *process.children(recursive=True)]
        if leftovers:
            self.say(f"ending {len(leftovers)} processes left by an earlier start")
            terminate(leftovers)
        self._file.unlink()


@contextlib.contextmanager
def running(stack: Stack, say: Say) -> Iterator[Supervisor]:
    """Run the stack until the context ends.

    Raises:
        LocalAzureError: a port is in use, or a process does not start.
    """
    supervisor = Supervisor(stack, say)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


def raise_interrupt_once() -> None:
    """Raise KeyboardInterrupt at the first SIGTERM or SIGINT, and ignore further ones.

    Stopping all processes takes some seconds, and a second Ctrl-C would leave some of them running.
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
    """Add the options of a stack: ports, state folder, and others."""
    for one in fields(Ports):
        flag = f"--{one.name.replace('_', '-')}-port"
        parser.add_argument(flag, type=int, default=one.default, metavar="PORT", help="default: %(default)s")
    parser.add_argument("--state", type=Path, default=ROOT / ".kedja", help="folder for all state")
    parser.add_argument("--quiet-period", type=float, default=10.0, metavar="SECONDS", help="default: %(default)g")
    parser.add_argument("--concurrency", type=_count, default=1, metavar="JOBS", help="jobs at once; default: 1")
    parser.add_argument(
        "--training-python",
        type=Path,
        default=ROOT / ".venv-training" / "bin" / "python",
        help="the Python that runs jobs",
    )


def stack_from_options(options: argparse.Namespace) -> Stack:
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def address_table(stack: Stack) -> Table:
    """Return a table of the stack's URLs and folders."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("drop files", f"{stack.account.blob_endpoint}  containers data and scripts, a folder per experiment")
    if (stack.ports.blob, stack.ports.queue) == (Ports().blob, Ports().queue):
        table.add_row("", "or any Azure client with UseDevelopmentStorage=true")
    table.add_row("HTTP API", f"{stack.functions_url}/api/health  {stack.functions_url}/api/openapi.json")
    table.add_row("MLflow", stack.mlflow_url)
    table.add_row("Event Grid", f"{stack.event_grid_url}/topics")
    table.add_row("state and logs", f"{stack.state}  {stack.state / 'logs'}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack until SIGINT or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local_azure.stack.supervisor", description=__doc__)
    add_options(parser)
    stack = stack_from_options(parser.parse_args(arguments))
    console = Console(highlight=False)
    raise_interrupt_once()
    try:
        with running(stack, lambda line: console.print(f"[dim]{line}[/]")) as supervisor:
            console.print(address_table(stack))
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
