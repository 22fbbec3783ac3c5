"""A process of the local stack: starting it, checking its health, and stopping it."""

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
_STOP_TIMEOUT = 40.0  # seconds; a running job has 30 for a graceful end


class ProcessStartError(LocalAzureError):
    """A process did not start."""


@define
class ManagedProcess:
    """A process to start, watch and stop. `healthy` returns whether it can be used."""

    name: str
    command: Sequence[str]
    log: Path
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(repr=False)
    start_timeout: float = 240.0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code; None before the process has ended."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process in its own session, so that Ctrl-C reaches only the supervisor, which stops all in order.

        Raises:
            ProcessStartError: its program is not installed.
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
                raise ProcessStartError(
                    f"{self.name} cannot start: {self.command[0]} is not installed. `kedja doctor` says what to do."
                ) from error

    def wait_until_healthy(self) -> None:
        """Wait until the process can be used.

        Raises:
            ProcessStartError: it has ended, or took too long; the message contains the end of its log, or its path.
        """
        deadline = time.monotonic() + self.start_timeout
        while not self.healthy():
            if not self.is_running:
                raise ProcessStartError(
                    f"{self.name} ended during startup (exit code {self.exit_code}); its log {self.log} ends with: "
                    f"{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ProcessStartError(f"{self.name} is not ready after {self.start_timeout:.0f} s; see {self.log}.")
            time.sleep(_POLL)

    def stop(self) -> None:
        """End the process and its descendants. Idempotent."""
        if self._process is None:
            return
        descendants = _descendants(self._process.pid)
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        terminate(descendants)

    def kill(self) -> None:
        """Kill the process with SIGKILL, for tests of recovery."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace").strip()[-1000:] or "(nothing)"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def terminate(processes: Sequence[psutil.Process]) -> None:
    """Ask processes to end, and kill those that have not after five seconds."""
    alive = [process for process in processes if process.is_running()]
    for process in alive:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(alive, timeout=5)
    for process in alive:
        _quietly(process.kill)


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        action()
