"""Jobs, their run history and their metrics. Nothing trains here: a test says what a job does."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.storage.blob import BlobClient, BlobSasPermissions, BlobServiceClient, generate_blob_sas

from tests.contract.control_plane.calls import Answer, Call
from tests.contract.control_plane.resource import Resource, not_found, page_of, resource, timestamp, user_error

FINAL = ("Completed", "Failed", "Canceled")
ARTIFACTS = "azureml"
HISTORY_PAGE = 5
"""Values in a page of a metric's history: few, as in `resource.PAGE`."""

_CHANGEABLE = ("tags", "properties", "description", "displayName", "isArchived")


class Jobs:
    """JobBase resources under one workspace. `computes` are the names that a job may ask for."""

    def __init__(self, arm_id: str, base_url: str, storage: BlobServiceClient, computes: Mapping[str, Any]) -> None:
        self._arm_id = arm_id
        self._base_url = base_url
        self._storage = storage
        self._computes = computes
        self._lock = threading.RLock()
        self._jobs: dict[str, Resource] = {}
        self._sent: dict[str, Mapping[str, Any]] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._metrics: dict[str, list[tuple[str, float]]] = {}
        self._parameters: dict[str, dict[str, str]] = {}

    # What a test does

    def run(self, name: str, *, log: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Let the job start, print and log. Called again, it prints and logs more."""
        with self._lock:
            self.move(name, "Running")
            self._runs[name].setdefault("startTimeUtc", timestamp())
            self._metrics[name].extend((metrics or {}).items())
            log_blob = self._blob(name, "user_logs/std_log.txt")
            if not log_blob.exists():
                log_blob.create_append_blob()
            if log:
                log_blob.append_block(log.encode())

    def end(
        self,
        name: str,
        status: str = "Completed",
        *,
        outputs: Mapping[str, bytes] | None = None,
        error: str = "The job's process ended with exit code 1.",
    ) -> None:
        """Store what the job wrote under ./outputs, and end it."""
        for path, content in (outputs or {}).items():
            self._blob(name, f"outputs/{path}").upload_blob(content, overwrite=True)
        with self._lock:
            self.move(name, status)
            self._runs[name]["endTimeUtc"] = timestamp()
            if status == "Failed":
                self._runs[name]["error"] = {"error": {"code": "UserError", "message": error}}

    def log_parameters(self, name: str, parameters: Mapping[str, str]) -> None:
        """Let the job log parameters of its run."""
        with self._lock:
            self._parameters.setdefault(name, {}).update(parameters)

    def move(self, name: str, status: str) -> None:
        """Set the status's word, whatever it is."""
        with self._lock:
            self._jobs[name]["properties"]["status"] = status

    def choose(self, sweep: str, trial: str) -> None:
        """Say which trial of a sweep is the best."""
        with self._lock:
            self._jobs[sweep]["properties"].setdefault("properties", {})["best_child_run_id"] = trial

    def status(self, name: str) -> str:
        with self._lock:
            return str(self._jobs[name]["properties"]["status"])

    def has_artifact(self, name: str, path: str) -> bool:
        """Whether the job is there and has a file, or a folder, at the path."""
        folder = self._storage.get_container_client(ARTIFACTS)
        names = folder.list_blob_names(name_starts_with=f"{_folder(name)}/{path}")
        return any(
            found == f"{_folder(name)}/{path}" or found.startswith(f"{_folder(name)}/{path}/") for found in names
        )

    # What the client asks

    def put(self, call: Call, name: str) -> Answer:
        sent = call.body["properties"]
        compute = str(sent.get("computeId") or "").rsplit("/", 1)[-1]
        if compute not in self._computes:
            return user_error(f"Requested compute target {compute!r} was not found in the workspace.")
        with self._lock:
            if name in self._jobs:
                return self._put_again(name, sent)
            job = self._new(name, sent)
            self._jobs[name], self._sent[name] = job, sent
            self._runs[name] = {"runId": name, "createdTimeUtc": job["systemData"]["createdAt"]}
            self._metrics[name] = []
            return Answer(status=201, body=job)

    def _put_again(self, name: str, sent: Mapping[str, Any]) -> Answer:
        job, before = self._jobs[name], self._sent[name]
        fixed = {key: value for key, value in sent.items() if key not in _CHANGEABLE}
        if fixed != {key: value for key, value in before.items() if key not in _CHANGEABLE}:
            return user_error(
                "A job with this name already exists. If you are trying to create a new job, use a different name. "
                "If you are trying to update an existing job, the existing job's properties cannot be changed."
            )
        properties = job["properties"].setdefault("properties", {})
        for key, value in (sent.get("properties") or {}).items():
            if properties.setdefault(key, value) != value:
                return user_error(f"Job property {key!r} cannot be changed.")
        job["properties"]["tags"] = sent.get("tags") or {}
        return Answer(status=200, body=job)

    def _new(self, name: str, sent: Mapping[str, Any]) -> Resource:
        outputs = dict(sent.get("outputs") or {})
        outputs["default"] = {
            "jobOutputType": "uri_folder",
            "uri": f"azureml://datastores/workspaceartifactstore/{_folder(name)}",
            "mode": "ReadWriteMount",
        }
        host = self._base_url.removeprefix("https://")
        services = {
            "Tracking": {"jobServiceType": "Tracking", "endpoint": f"azureml://{host}/mlflow/v1.0{self._arm_id}"},
            "Studio": {"jobServiceType": "Studio", "endpoint": f"https://ml.azure.com/runs/{name}?wsid={self._arm_id}"},
        }
        status = {"status": "NotStarted", "isArchived": False, "outputs": outputs, "services": services}
        return resource(f"{self._arm_id}/jobs/{name}", {**sent, **status})

    def get(self, _: Call, name: str) -> Answer:
        with self._lock:
            job = self._jobs.get(name)
            return Answer(status=200, body=job) if job else not_found(f"{self._arm_id}/jobs/{name}")

    def list(self, call: Call) -> Answer:
        tag = call.query.get("tag")
        with self._lock:
            jobs = [job for job in self._jobs.values() if not tag or tag in (job["properties"].get("tags") or {})]
            return page_of(call, self._base_url, jobs[::-1])

    def cancel(self, _: Call, name: str) -> Answer:
        with self._lock:
            if name not in self._jobs:
                return not_found(f"{self._arm_id}/jobs/{name}")
            if self.status(name) in FINAL:
                return Answer(status=200)
            self.move(name, "CancelRequested")
        location = f"{self._base_url}{self._arm_id}/jobs/{name}/operations/cancel"
        return Answer(status=202, headers={"Location": location, "Retry-After": "5"})

    def details(self, _: Call, name: str) -> Answer:
        """Answer RunDetails, of which `logFiles` are paths with addresses that hold a SAS."""
        with self._lock:
            if name not in self._jobs:
                return Answer(status=404, body={"error": {"code": "UserError", "message": f"Run {name} not found."}})
            body = {
                **self._runs[name],
                "status": self.status(name),
                "tags": self._jobs[name]["properties"].get("tags") or {},
                "properties": self._jobs[name]["properties"].get("properties") or {},
                "logFiles": self._log_files(name),
                "warnings": [],
            }
            return Answer(status=200, body=body)

    def metrics(self, call: Call) -> Answer:
        """Answer GetRun of MLflow's REST API 2.0, whose `metrics` hold the last value of each."""
        name = call.query["run_id"]
        with self._lock:
            if name not in self._jobs:
                return Answer(
                    status=404, body={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"Run '{name}' not found"}
                )
            latest = dict(self._metrics[name])
            metrics = [{"key": key, "value": value, "timestamp": 1, "step": 0} for key, value in latest.items()]
            params = [{"key": key, "value": value} for key, value in self._parameters.get(name, {}).items()]
            info = {"run_id": name, "run_uuid": name, "status": "RUNNING"}
            return Answer(status=200, body={"run": {"info": info, "data": {"metrics": metrics, "params": params}}})

    def history(self, call: Call) -> Answer:
        """Answer GetMetricHistory: every value in the order of logging, so many in a page."""
        name, key, start = call.query["run_id"], call.query["metric_key"], int(call.query.get("page_token", "0"))
        with self._lock:
            values = [value for logged, value in self._metrics[name] if logged == key]
        metrics = [
            {"key": key, "value": value, "timestamp": 1_772_366_400_000 + step, "step": step}
            for step, value in enumerate(values)
        ]
        body: dict[str, Any] = {"metrics": metrics[start : start + HISTORY_PAGE]}
        if start + HISTORY_PAGE < len(metrics):
            body["next_page_token"] = str(start + HISTORY_PAGE)
        return Answer(status=200, body=body)

    def _log_files(self, name: str) -> Mapping[str, str]:
        folder = self._storage.get_container_client(ARTIFACTS)
        prefix = f"{_folder(name)}/"
        names = folder.list_blob_names(name_starts_with=f"{prefix}user_logs/")
        return {blob.removeprefix(prefix): self._address(blob) for blob in names}

    def _address(self, blob: str) -> str:
        sas = generate_blob_sas(
            str(self._storage.account_name),
            ARTIFACTS,
            blob,
            account_key=self._storage.credential.account_key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        return f"{self._storage.get_blob_client(ARTIFACTS, blob).url}?{sas}"

    def _blob(self, name: str, path: str) -> BlobClient:
        return self._storage.get_blob_client(ARTIFACTS, f"{_folder(name)}/{path}")


def _folder(name: str) -> str:
    return f"ExperimentRun/dcid.{name}"
