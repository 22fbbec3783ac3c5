"""The local stack: its processes, their ports and settings."""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from attrs import field, frozen
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, CorsRule
from azure.storage.queue import QueueServiceClient

from function_app.domain import naming
from local_azure.credentials import TOPIC_KEY
from local_azure.errors import LocalAzureError
from local_azure.port_guard import page_origins
from local_azure.stack.managed_process import ManagedProcess
from local_azure.storage import azurite
from local_azure.storage.azurite import AzuriteAccount
from local_azure.training import mlflow_server

_CORS_HEADERS = {
    "allowed_headers": ["content-md5", "content-type", "if-none-match", "x-ms-*"],
    "exposed_headers": ["etag", "x-ms-*"],
}
MESSAGE_LEASE = 30
"""Seconds that a message stays invisible if its host is killed; shorter than the real host's ten minutes."""


class PortInUseError(LocalAzureError):
    """A port of the stack is in use."""


@frozen(kw_only=True)
class Ports:
    """The ports, on the loopback interface. Each is an option of `python -m local_azure.stack.supervisor`."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002
    functions: int = 7071
    mlflow: int = 5000
    event_grid: int = 6500
    azurite: int = 20000
    """Azurite's own blob port, behind the proxy that raises events."""

    def check_free(self) -> None:
        """Check that nothing listens on these ports.

        Raises:
            PortInUseError: a port is in use.
        """
        for name, port in self.named().items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    option = f"--{name.replace('_', '-')}-port"
                    raise PortInUseError(
                        f"Port {port} ({name}) is in use: is the stack running already? Stop what listens there, or "
                        f"choose another: make up OPTIONS='{option} {port + 1}'."
                    ) from error

    def named(self) -> dict[str, int]:
        """Return the ports by name."""
        return {
            "blob": self.blob,
            "queue": self.queue,
            "table": self.table,
            "functions": self.functions,
            "mlflow": self.mlflow,
            "event_grid": self.event_grid,
            "azurite": self.azurite,
        }


@frozen(kw_only=True)
class Stack:
    """A stack. Everything that it stores is under `state`."""

    root: Path
    state: Path
    ports: Ports = Ports()
    training_python: Path
    quiet_period: float = 10.0
    timing: Mapping[str, float] = field(factory=dict)
    """The app's `KEDJA_TIMING`: fields of `function_app.timing.Timing` that differ from their defaults; seconds."""
    concurrency: int = 1
    """Jobs that run at once."""

    @property
    def account(self) -> AzuriteAccount:
        """The storage account, with blobs through the proxy that raises events."""
        return AzuriteAccount(blob_port=self.ports.blob, queue_port=self.ports.queue, table_port=self.ports.table)

    @property
    def functions_url(self) -> str:
        """The URL of the Functions host."""
        return f"http://127.0.0.1:{self.ports.functions}"

    @property
    def pages(self) -> frozenset[str]:
        """The origins of Kedja's web page, which uploads to storage."""
        return page_origins(self.ports.functions)

    @property
    def mlflow_url(self) -> str:
        """The URL of the MLflow server."""
        return f"http://127.0.0.1:{self.ports.mlflow}"

    @property
    def event_grid_url(self) -> str:
        """The URL of the local Event Grid."""
        return f"http://127.0.0.1:{self.ports.event_grid}"

    def settings(self) -> dict[str, str]:
        """Return the app's settings, as Bicep writes them in Azure."""
        connection = self.account.connection_string
        settings = {
            "AzureWebJobsStorage": connection,
            "AzureWebJobsDisableHomepage": "true",
            "PYTHON_SCRIPT_FILE_NAME": "app.py",
            "KedjaStorage": connection,
            "KEDJA_AUTH": "local",
            "KEDJA_QUIET_PERIOD": f"{self.quiet_period:g}",
            "KEDJA_TRAINING_SERVICE": "local_azure.training.service:connect",
            "KEDJA_LOCAL_TRAINING": str(self.state / "training"),
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "KEDJA_EVENT_GRID_ENDPOINT": f"{self.event_grid_url}/topics/kedja/api/events",
            "KEDJA_EVENT_GRID_KEY": TOPIC_KEY,
        }
        return {**settings, "KEDJA_TIMING": json.dumps(dict(self.timing))} if self.timing else settings

    def write_settings(self) -> Path:
        """Write `local.settings.json` in the state folder, in the format of the Functions tools."""
        path = self.state / "local.settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        document: Mapping[str, Any] = {"IsEncrypted": False, "Values": self.settings()}
        path.write_text(json.dumps(document, indent=2))
        return path

    def storage_processes(self) -> list[ManagedProcess]:
        """Return the processes that must run before `provision`."""
        ports = self.ports
        storage = ManagedProcess(
            name="azurite",
            command=azurite.command(
                self.state / "azurite",
                blob_port=ports.azurite,
                queue_port=ports.queue,
                table_port=ports.table,
                pages=self.pages,
            ),
            log=self._log("azurite"),
            environment=os.environ,
            healthy=lambda: all(map(_accepts_connections, (ports.azurite, ports.queue, ports.table))),
        )
        event_grid = self._python(
            "event-grid",
            "local_azure.event_grid",
            *("--port", str(ports.event_grid), "--state", str(self.state / "event-grid")),
            *("--subscriptions", str(self.root / "local_azure" / "event_grid" / "subscriptions.json")),
            *("--storage", self.account.connection_string),
            port=ports.event_grid,
        )
        proxy = self._python(
            "storage-proxy",
            "local_azure.storage.storage_proxy",
            *("--port", str(ports.blob), "--upstream", f"http://127.0.0.1:{ports.azurite}"),
            *("--event-grid", self.event_grid_url),
            *(word for page in sorted(self.pages) for word in ("--page", page)),
            port=ports.blob,
        )
        return [storage, event_grid, proxy]

    def service_processes(self) -> list[ManagedProcess]:
        """Return the processes that need containers and queues; write the app's settings."""
        mlflow = ManagedProcess(
            name="mlflow",
            command=mlflow_server.command(self.state / "mlflow", self.ports.mlflow),
            log=self._log("mlflow"),
            environment=mlflow_server.environment(self.account.connection_string, os.environ),
            healthy=lambda: answers(f"{self.mlflow_url}/health"),
        )
        training = self._python(
            "training-runner",
            "local_azure.training.job_runner",
            *("--state", str(self.state / "training"), "--blob", self.account.connection_string),
            *("--mlflow", self.mlflow_url, "--python", str(self.training_python)),
            *("--event-grid", self.event_grid_url, "--event-grid-key", TOPIC_KEY),
            *("--concurrency", str(self.concurrency)),
            port=None,
        )
        functions = self._python(
            "functions-host",
            "local_azure.functions_host",
            *("--root", str(self.root), "--port", str(self.ports.functions)),
            *("--settings", str(self.write_settings()), "--state", str(self.state / "functions")),
            *("--message-lease", str(MESSAGE_LEASE)),
            port=self.ports.functions,
        )
        (self.state / "mlflow").mkdir(parents=True, exist_ok=True)
        return [mlflow, training, functions]

    def provision(self) -> None:
        """Create the containers and queues that Bicep creates in Azure."""
        with BlobServiceClient.from_connection_string(self.account.connection_string) as blobs:
            # The web page uploads from the browser, which requires CORS.
            rule = CorsRule(
                sorted(self.pages), ["GET", "HEAD", "OPTIONS", "PUT"], **_CORS_HEADERS, max_age_in_seconds=3600
            )
            blobs.set_service_properties(cors=[rule])
            for container in (*naming.CONTAINERS, mlflow_server.ARTIFACTS_CONTAINER):
                with contextlib.suppress(ResourceExistsError):  # created by an earlier start
                    blobs.create_container(container)
        with QueueServiceClient.from_connection_string(self.account.connection_string) as queues:
            for queue in naming.QUEUES:
                for name in (queue, f"{queue}-poison"):
                    with contextlib.suppress(ResourceExistsError):
                        queues.create_queue(name)

    def _log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def _python(self, name: str, module: str, *arguments: str, port: int | None) -> ManagedProcess:
        return ManagedProcess(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            log=self._log(name),
            environment={**os.environ, "PYTHONPATH": str(self.root)},
            healthy=(lambda: True) if port is None else (lambda: _accepts_connections(port)),
        )


def _accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Return whether this URL answers with success."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
