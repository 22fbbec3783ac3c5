"""The local training service behind the contract suite: a real MLflow server and a real runner."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from azure.storage.blob import BlobServiceClient

from function_app.ports.training_service import RECEIPT_TAG, BlobFolder, Job, JobRequest, JobStatus
from local_azure.training.mlflow_server import running_mlflow
from local_azure.training.service import LocalTrainingService, connect

_ROOT = Path(__file__).parents[2]
_COMPUTE = "gpu-cluster"

# What a job does. It has the standard library alone, so that any Python runs it.
_SCRIPT = """
import base64, json, os, pathlib, sys, time, urllib.request

folder, wanted = pathlib.Path(sys.argv[1]), json.loads(base64.b64decode(sys.argv[2]))
sys.stdout.write(wanted["log"])
sys.stdout.flush()
for key, value in wanted["metrics"].items():
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "timestamp": int(time.time() * 1000)}
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).read()
name = os.environ["AZUREML_RUN_ID"]
(folder / (name + ".ready")).touch()
while wanted["hold"] and not (folder / (name + ".release")).exists():
    time.sleep(0.05)
for path, content in wanted["outputs"].items():
    file = pathlib.Path("outputs") / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(base64.b64decode(content))
sys.exit(wanted["exit_code"])
"""


@frozen(kw_only=True)
class LocalBackend:
    """Implements `tests.contract.backend.Backend`."""

    service: LocalTrainingService
    storage: str
    folder: Path

    def job(
        self,
        name: str,
        *,
        experiment: str = "digits",
        receipt: str | None = "digits/0123456789abcdef",
        tags: Mapping[str, str] | None = None,
        log: str = "",
        metrics: Mapping[str, float] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        exit_code: int = 0,
        hold: bool = False,
    ) -> JobRequest:
        wanted = {
            "log": log,
            "metrics": dict(metrics or {}),
            "outputs": {path: base64.b64encode(content).decode() for path, content in (outputs or {}).items()},
            "exit_code": exit_code,
            "hold": hold,
        }
        argument = base64.b64encode(json.dumps(wanted).encode()).decode()
        document: dict[str, Any] = {
            "type": "command",
            "command": f"python {self.folder / 'job.py'} {self.folder} {argument}",
            "environment": "azureml:kedja-chainer-gpu:1",
            "compute": _COMPUTE,
            "experiment_name": experiment,
            "tags": {**({} if receipt is None else {RECEIPT_TAG: receipt}), **(tags or {})},
        }
        return JobRequest(name=name, document=document)

    def refused_job(self, name: str) -> JobRequest:
        return JobRequest(name=name, document={**self.job(name).document, "compute": "no-such-cluster"})

    def run_until(self, name: str, status: JobStatus) -> Job:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            job = self.service.get(name)
            if job.status is status and (status is not JobStatus.RUNNING or self._is_ready(name)):
                return job
            assert not job.status.is_final, f"{name} ended: {job}"
            time.sleep(0.05)
        raise AssertionError(f"{name} did not become {status} within 60 s: {self.service.get(name)}")

    def _is_ready(self, name: str) -> bool:
        return (self.folder / f"{name}.ready").exists()

    def release(self, name: str) -> None:
        (self.folder / f"{name}.release").touch()

    def files(self, folder: BlobFolder) -> Mapping[str, bytes]:
        with BlobServiceClient.from_connection_string(self.storage) as service:
            container = service.get_container_client(folder.container)
            return {
                blob.removeprefix(folder.prefix): container.download_blob(blob).readall()
                for blob in list(container.list_blob_names(name_starts_with=folder.prefix))
            }


@contextmanager
def running(folder: Path, storage: str) -> Iterator[LocalBackend]:
    """Run an MLflow server and a training runner around the service."""
    (folder / "job.py").write_text(_SCRIPT)
    with (
        running_mlflow(folder / "mlflow", free_port(), storage) as mlflow,
        runner(folder, storage, mlflow, "--concurrency", "4"),
    ):
        environ = {"KEDJA_LOCAL_TRAINING": str(folder / "training"), "MLFLOW_TRACKING_URI": mlflow}
        service = connect(environ)
        try:
            yield LocalBackend(service=service, storage=storage, folder=folder)
        finally:
            service.mlflow.close()


@contextmanager
def runner(folder: Path, storage: str, mlflow: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the runner on the folder's `training`; its log is `runner.log`. A test may kill it."""
    with (folder / "runner.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "local_azure.training.job_runner", "--state", str(folder / "training")),
                *("--blob", storage, "--mlflow", mlflow, "--python", sys.executable, *options),
            ],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
