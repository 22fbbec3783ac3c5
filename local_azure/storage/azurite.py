"""Starts Azurite, the storage emulator: blob, queue and table service on one machine."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from attrs import define, field, frozen

from local_azure.credentials import ACCOUNT_KEY, ACCOUNT_NAME
from local_azure.errors import LocalAzureError

_PROGRAM = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
_GUARD = Path(__file__).with_name("azurite_guard.cjs")
_LISTENS = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at http://[^\s:]+:(\d+)")
_SERVICES = ("Blob", "Queue", "Table")
_POLL = 0.05  # seconds


class AzuriteError(LocalAzureError):
    """Azurite did not start."""


@frozen(kw_only=True)
class AzuriteAccount:
    """The storage account of a running Azurite. The ports are on the loopback interface."""

    blob_port: int
    queue_port: int
    table_port: int
    name: str = ACCOUNT_NAME
    key: str = field(default=ACCOUNT_KEY, repr=False)

    @property
    def blob_endpoint(self) -> str:
        """The URL of the blob service, with the account's name as its path."""
        return f"http://127.0.0.1:{self.blob_port}/{self.name}"

    @property
    def queue_endpoint(self) -> str:
        """The URL of the queue service, with the account's name as its path."""
        return f"http://127.0.0.1:{self.queue_port}/{self.name}"

    @property
    def table_endpoint(self) -> str:
        """The URL of the table service, with the account's name as its path."""
        return f"http://127.0.0.1:{self.table_port}/{self.name}"

    @property
    def connection_string(self) -> str:
        """The connection string, for storage clients and AzureWebJobsStorage."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey={self.key};"
            f"BlobEndpoint={self.blob_endpoint};QueueEndpoint={self.queue_endpoint};TableEndpoint={self.table_endpoint};"
        )


def command(
    folder: Path,
    *,
    blob_port: int,
    queue_port: int,
    table_port: int,
    pages: Collection[str] = (),
    program: Path = _PROGRAM,
) -> list[str]:
    """Return the command that serves the data in `folder` on these ports of the loopback interface.

    `pages` are the origins of the web pages that may send requests (see `local_azure.port_guard`).
    """
    words = ["node", str(_GUARD), ",".join(sorted(pages)), str(program)]
    words += ["--silent", "--disableTelemetry", "--location", str(folder)]
    # The clients use a newer version of the API than Azurite knows.
    words += ["--skipApiVersionCheck"]
    for service, port in (("blob", blob_port), ("queue", queue_port), ("table", table_port)):
        # Clients keep idle connections longer than Azurite's 5 s; a request on one that closes then would fail.
        words += [f"--{service}Port", str(port), f"--{service}KeepAliveTimeout", "120"]
    return words


@define
class Azurite:
    """An Azurite process with its data in `folder`. Port 0 takes a free one."""

    folder: Path
    blob_port: int = field(default=0, kw_only=True)
    queue_port: int = field(default=0, kw_only=True)
    table_port: int = field(default=0, kw_only=True)
    program: Path = field(default=_PROGRAM, kw_only=True)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """The file with Azurite's output."""
        return self.folder / "azurite.log"

    @property
    def _command(self) -> list[str]:
        return command(
            self.folder,
            blob_port=self.blob_port,
            queue_port=self.queue_port,
            table_port=self.table_port,
            program=self.program,
        )

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and return immediately.

        Raises:
            AzuriteError: Azurite or Node.js is not installed.
        """
        if not self.program.exists():
            raise AzuriteError(f"Azurite is not installed at {self.program}. Run `npm ci` in the project's folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            # In its own session, so that Ctrl-C reaches only the supervisor, which stops the processes in order.
            try:
                self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
            except FileNotFoundError as error:
                raise AzuriteError("Node.js is not on the path. Install Node.js 20 or newer.") from error

    def wait_until_healthy(self, timeout: float = 60) -> AzuriteAccount:
        """Return the account once all three services listen.

        Raises:
            AzuriteError: the process has ended, or does not listen within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.is_running  # checked before the log is read, so that the log is complete
            printed = self.log.read_text(errors="replace")
            ports = {service: int(port) for service, port in _LISTENS.findall(printed)}
            if ended:
                raise AzuriteError(f"Azurite ended as it started; it printed: {printed.strip()[-500:]!r}.")
            if all(service in ports for service in _SERVICES):
                return AzuriteAccount(blob_port=ports["Blob"], queue_port=ports["Queue"], table_port=ports["Table"])
            if time.monotonic() > deadline:
                raise AzuriteError(f"Azurite does not listen after {timeout:g} s; see {self.log}.")
            time.sleep(_POLL)

    def stop(self, timeout: float = 10) -> None:
        """Ask the process to end, and kill it if it has not after `timeout` seconds. Idempotent."""
        if self._process is None:
            return
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running_azurite(
    folder: Path, *, blob_port: int = 0, queue_port: int = 0, table_port: int = 0
) -> Iterator[AzuriteAccount]:
    """Run Azurite on these ports (0: free ones) with its data in `folder`, until the context ends.

    Raises:
        AzuriteError: it does not start.
    """
    azurite = Azurite(folder, blob_port=blob_port, queue_port=queue_port, table_port=table_port)
    azurite.start()
    try:
        yield azurite.wait_until_healthy()
    finally:
        azurite.stop()
