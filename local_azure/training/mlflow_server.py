"""The MLflow server of the local stack: metrics, artifacts, the model registry, and a page that shows them.

Artifacts are in the storage account's container `azureml`, so that MLflow shows what a job uploaded.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from function_app.errors import TrainingServiceError
from local_azure.errors import LocalAzureError
from local_azure.port_guard import GuardedProtocol

ARTIFACTS_CONTAINER = "azureml"
ARTIFACTS_FOLDER = "ExperimentRun"
"""The folder of all runs in that container, named as in Azure ML."""

_ROOT = Path(__file__).parents[2]
_SCHEME = "mlflow-artifacts:/"
_START_TIMEOUT = 240.0  # seconds; it takes 8 s on two idle cores; the first start creates the database
_STOP_TIMEOUT = 10.0  # seconds


class MlflowServerError(LocalAzureError):
    """The MLflow server did not start."""


def artifact_prefix(artifact_uri: str) -> str:
    """Return the prefix in ARTIFACTS_CONTAINER, without a trailing slash, of a run's `artifact_uri`.

    Raises:
        TrainingServiceError: the server keeps its artifacts elsewhere.
    """
    if not artifact_uri.startswith(_SCHEME):
        raise TrainingServiceError(
            f"The MLflow run keeps its artifacts at {artifact_uri!r}, not in the local storage account. "
            "Start the MLflow server with `make up`, which gives it --artifacts-destination."
        )
    return f"{ARTIFACTS_FOLDER}/{artifact_uri.removeprefix(_SCHEME).strip('/')}"


def command(folder: Path, port: int) -> list[str]:
    """Return the command that serves the MLflow database in `folder` on this port of the loopback interface."""
    database = (folder / "mlflow.db").absolute()
    destination = f"wasbs://{ARTIFACTS_CONTAINER}@devstoreaccount1.blob.core.windows.net/{ARTIFACTS_FOLDER}"
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        # MLflow's own checks admit any page of this machine, and only protect its API.
        *("--uvicorn-opts", f"--no-access-log --http {GuardedProtocol.__module__}:{GuardedProtocol.__name__}"),
        *("--backend-store-uri", f"sqlite:///{database}"),
        *("--artifacts-destination", destination),
    ]


def environment(storage: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the server's environment: without telemetry, and with artifacts in the account of `storage`."""
    return {
        **{key: value for key, value in inherited.items() if not key.startswith(("MLFLOW_", "AZURE_"))},
        "AZURE_STORAGE_CONNECTION_STRING": storage,
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), inherited.get("PYTHONPATH")))),  # for the guard
        "PYTHONWARNINGS": "ignore",
    }


@contextmanager
def running_mlflow(folder: Path, port: int, storage: str) -> Iterator[str]:
    """Run the server and yield its URL once it answers; its database and its log `mlflow.log` are in `folder`.

    `storage` is the connection string of the account for artifacts.

    Raises:
        MlflowServerError: the server does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "mlflow.log"
    address = f"http://127.0.0.1:{port}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(folder, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(storage, os.environ),
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, address, log)
        yield address
    finally:
        _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT
    with httpx.Client(base_url=address, timeout=5, trust_env=False) as client:
        while time.monotonic() < end:
            if process.poll() is not None:
                raise MlflowServerError(
                    f"The MLflow server ended at its start with exit code {process.returncode}; see {log}."
                )
            try:
                if client.get("/health").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    raise MlflowServerError(f"The MLflow server at {address} did not answer within {_START_TIMEOUT:.0f} s; see {log}.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, 15)  # its worker process is in its group
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
