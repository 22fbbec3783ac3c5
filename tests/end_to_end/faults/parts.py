"""The parts of the stack: its processes, and the accounts and addresses by which they reach each other."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from local_azure.credentials import TOPIC_KEY
from local_azure.stack.managed_process import ManagedProcess
from local_azure.stack.stack import Stack, answers
from local_azure.storage import azurite
from local_azure.storage.azurite import AzuriteAccount
from local_azure.training import mlflow_server
from tests.end_to_end.faults.inner_ports import InnerPorts, listens, url_of
from tests.end_to_end.faults.pace import Pace

HOSTS = ("functions-host-1", "functions-host-2")


@frozen(kw_only=True)
class Parts:
    """Makes the processes of one stack. `app` is the folder with the app's code, a copy of its own."""

    stack: Stack
    inner: InnerPorts
    pace: Pace
    app: Path
    jobs_at_once: int = 3

    @property
    def plain(self) -> AzuriteAccount:
        """The account without faults: for the training service's own files and for Event Grid."""
        return evolve(self.stack.account, blob_port=self.inner.plain_blob, queue_port=self.inner.plain_queue)

    @property
    def behind(self) -> AzuriteAccount:
        """The account itself, past every door: what the oracle reads."""
        return evolve(self.stack.account, blob_port=self.stack.ports.azurite, queue_port=self.inner.queue)

    @property
    def registry_url(self) -> str:
        """MLflow without faults."""
        return f"http://127.0.0.1:{self.inner.mlflow}"

    @property
    def host_urls(self) -> Sequence[str]:
        return self.stack.functions_url, f"http://127.0.0.1:{self.inner.host}"

    def storage(self) -> list[ManagedProcess]:
        ports, inner = self.stack.ports, self.inner
        return [
            ManagedProcess(
                name="azurite",
                command=azurite.command(
                    self.stack.state / "azurite",
                    blob_port=ports.azurite,
                    queue_port=inner.queue,
                    table_port=ports.table,
                ),
                log=self._log("azurite"),
                environment=os.environ,
                healthy=lambda: all(map(listens, (ports.azurite, inner.queue, ports.table))),
            ),
            self._python(
                "event-grid",
                "local_azure.event_grid",
                *("--port", str(inner.event_grid), "--state", str(self.stack.state / "event-grid")),
                *("--storage", self.plain.connection_string),
                port=inner.event_grid,
            ),
        ]

    def services(self) -> list[ManagedProcess]:
        ports, inner, state = self.stack.ports, self.inner, self.stack.state
        mlflow = ManagedProcess(
            name="mlflow",
            command=mlflow_server.command(state / "mlflow", inner.mlflow),
            log=self._log("mlflow"),
            environment=mlflow_server.environment(self.plain.connection_string, os.environ),
            healthy=lambda: answers(f"{self.registry_url}/health"),
        )
        runner = self._python(
            "training-runner",
            "local_azure.training.job_runner",
            *("--state", str(state / "training"), "--blob", self.plain.connection_string),
            *("--mlflow", self.stack.mlflow_url, "--python", str(self.stack.training_python)),
            *("--event-grid", self.stack.event_grid_url, "--event-grid-key", TOPIC_KEY),
            *("--concurrency", str(self.jobs_at_once), "--grace", "2"),
            port=None,
        )
        settings = self._settings()
        hosts = [
            self._python(
                name,
                self.pace.host_module,
                *("--root", str(self.app), "--port", str(port), "--settings", str(settings)),
                *("--state", str(state / name), "--message-lease", str(self.pace.message_lease)),
                port=port,
            )
            for name, port in zip(HOSTS, (ports.functions, inner.host), strict=True)
        ]
        return [mlflow, runner, *hosts]

    def _settings(self) -> Path:
        values = self.stack.settings() | {
            "KEDJA_TRAINING_SERVICE": "tests.end_to_end.faults.training:connect",
            "KEDJA_FAULTS_DOOR": url_of(self.inner.training),
            "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        }
        path = self.stack.state / "local.settings.json"
        path.write_text(json.dumps({"IsEncrypted": False, "Values": values}))
        return path

    def _log(self, name: str) -> Path:
        return self.stack.state / "logs" / f"{name}.log"

    def _python(self, name: str, module: str, *arguments: str, port: int | None) -> ManagedProcess:
        return ManagedProcess(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            log=self._log(name),
            environment={**os.environ, "PYTHONPATH": str(self.app), "PYTHONSAFEPATH": "1"},
            healthy=(lambda: True) if port is None else (lambda: listens(port)),
        )
