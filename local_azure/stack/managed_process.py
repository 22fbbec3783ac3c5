"""A component: one process of the local stack, with its log and the question that tells whether it is up."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
from attrs import define, field

from local_azure.errors import LocalAzureError

_POLL = 0.1  # seconds
_STOP_TIMEOUT = 40.0  # seconds; a running job is given 30 to end well


class ComponentError(LocalAzureError):
    """A process of the stack did not start."""


@define
class Component:
    """A process to start, watch and stop. `healthy` answers whether it can be used yet."""

    name: str
    command: Sequence[str]
    log: Path
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(repr=False)
    start_timeout: float = 240.0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process in a session of its own, so that a Ctrl-C reaches whoever stops all of them in order.

        Raises:
            ComponentError: if its program is not installed.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.environment,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise ComponentError(
                    f"{self.name} cannot start: {self.command[0]} is not installed. `kedja doctor` says what to do."
                ) from error

    def wait_until_healthy(self) -> None:
        """Wait until the process can be used.

        Raises:
            ComponentError: where it ended, or took too long, with the end of its log.
        """
        deadline = time.monotonic() + self.start_timeout
        while not self.healthy():
            if not self.is_running:
                raise ComponentError(
                    f"{self.name} ended as it started (exit code {self.exit_code}); its log {self.log} ends with: "
                    f"{self._end_of_log()}"
                )
            if time.monotonic() > deadline:
                raise ComponentError(f"{self.name} is not up after {self.start_timeout:.0f} s; see {self.log}.")
            time.sleep(_POLL)

    def stop(self) -> None:
        """End the process and every one that it started. Safe to repeat."""
        if self._process is None:
            return
        family = _family(self._process.pid)
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        end(family)

    def kill(self) -> None:
        """End the process at once, as a `kill -9` does. Tests of recovery do that."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace").strip()[-1000:] or "(nothing)"


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end(processes: Sequence[psutil.Process]) -> None:
    """Ask processes to end, and kill those that have not soon after."""
    alive = [process for process in processes if process.is_running()]
    for process in alive:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(alive, timeout=5)
    for process in alive:
        _quietly(process.kill)


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself in between
        action()
