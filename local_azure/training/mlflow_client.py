"""A client for the few calls of MLflow's REST API that the local training service needs.

Format: MLflow's REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html). The `mlflow` package
would do too, but takes seconds to import into a functions host.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from attrs import frozen

from function_app.azure.mlflow import ASKED_AT_ONCE, HISTORY, series_of
from function_app.errors import TrainingServiceError, TrainingServiceUnavailable
from function_app.ports.metrics import RunSeries

_RETRIABLE = frozenset({429, 500, 502, 503, 504})
MAX_RESPONSE_BYTES = 16 << 20
"""Max size of a response: what a job has logged may be of any length."""
_TIMEOUT = httpx.Timeout(30, connect=5)


class MlflowRefused(TrainingServiceError):
    """MLflow answered with a permanent error. `error_code` is MLflow's name for it."""

    def __init__(self, message: str, error_code: str) -> None:
        super().__init__(message)
        self.error_code = error_code


@frozen(kw_only=True)
class MlflowRun:
    """An MLflow run: the server's record of one job."""

    run_id: str
    experiment_id: str
    artifact_uri: str


class MlflowClient:
    """A client for one MLflow server, safe to share between threads.

    Raises:
        TrainingServiceUnavailable: from every method, if there is no answer, or a temporary error.
        MlflowRefused: from every method, if the answer is a permanent error.
    """

    def __init__(self, address: str, http: httpx.Client | None = None) -> None:
        self.address = address.rstrip("/")
        self._http = http or httpx.Client(timeout=_TIMEOUT, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def experiment_id(self, name: str) -> str:
        """Return the experiment's id. Create it, or restore it from MLflow's trash, if necessary."""
        try:
            answer = self.call("GET", "experiments/get-by-name", {"experiment_name": name})
        except MlflowRefused as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return self._create_experiment(name)
        experiment = answer["experiment"]
        if experiment["lifecycle_stage"] == "deleted":
            self.call("POST", "experiments/restore", {"experiment_id": experiment["experiment_id"]})
        return str(experiment["experiment_id"])

    def _create_experiment(self, name: str) -> str:
        try:
            return str(self.call("POST", "experiments/create", {"name": name})["experiment_id"])
        except MlflowRefused as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # created by another process meanwhile
                raise
            return self.experiment_id(name)

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> MlflowRun:
        """Create a run of this name; its start time is now."""
        body = {"experiment_id": experiment_id, "run_name": name, "start_time": _now(), "tags": tag_list(tags)}
        return _run(self.call("POST", "runs/create", body)["run"])

    def find_run(self, experiment_id: str, tag: str, value: str) -> MlflowRun | None:
        """Return the experiment's oldest run with this tag, if there is one."""
        body = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{tag}` = {quoted(value)}",
            "max_results": 1,
            "order_by": ["attributes.start_time ASC"],
        }
        runs = self.call("POST", "runs/search", body).get("runs", [])
        return _run(runs[0]) if runs else None

    def delete_run(self, run_id: str) -> None:
        """Move a run to MLflow's trash."""
        self.call("POST", "runs/delete", {"run_id": run_id})

    def update_run(self, run_id: str, status: str) -> None:
        """Set a run's status (RUNNING, FINISHED, FAILED, KILLED), and its end time unless it is RUNNING."""
        body: dict[str, Any] = {"run_id": run_id, "status": status}
        if status != "RUNNING":
            body["end_time"] = _now()
        self.call("POST", "runs/update", body)

    def metrics(self, run_id: str) -> dict[str, float]:
        """Return the latest value of each metric. Infinite values are returned as MLflow stores them: ±1.8e308."""
        data = self.call("GET", "runs/get", {"run_id": run_id})["run"].get("data", {})
        return {str(metric["key"]): float(metric.get("value", 0.0)) for metric in data.get("metrics", [])}

    def series(self, run_id: str) -> RunSeries:
        """Return the values of each metric, and the run's parameters."""

        def history(key: str, size: int) -> Iterator[dict[str, Any]]:
            query = {"run_id": run_id, "metric_key": key, "max_results": min(size, ASKED_AT_ONCE)}
            return self.pages(HISTORY, query, "metrics")

        return series_of(self.call("GET", "runs/get", {"run_id": run_id})["run"], history)

    def pages(self, path: str, query: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
        """Yield the items under `key` of every page of a GET."""
        token = ""
        while True:
            answer = self.call("GET", path, {**query, **({"page_token": token} if token else {})})
            yield from answer.get(key, [])
            token = answer.get("next_page_token", "")
            if not token:
                return

    def call(self, method: str, path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call and return its JSON object."""
        url = f"{self.address}/api/2.0/mlflow/{path}"
        options: dict[str, Any] = {"params" if method == "GET" else "json": arguments}
        body = bytearray()
        try:
            with self._http.stream(method, url, **options) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_RESPONSE_BYTES:
                        raise MlflowRefused(
                            f"MLflow's answer to {path} has more than {MAX_RESPONSE_BYTES} bytes.", "LARGE"
                        )
        except httpx.TransportError as error:
            raise TrainingServiceUnavailable(f"MLflow at {self.address} does not answer: {error!r}.") from error
        if response.status_code in _RETRIABLE:
            raise TrainingServiceUnavailable(f"MLflow at {self.address} answered {response.status_code} to {path}.")
        return _answer(response, body, path)


def quoted(value: str) -> str:
    """Return a string in quotes, for MLflow's filters: these have two kinds of quotes and no escape.

    Raises:
        MlflowRefused: the string contains both kinds.
    """
    for quote in ("'", '"'):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise MlflowRefused(
        f"MLflow cannot search for {value!r}: it contains both kinds of quotes.", "INVALID_PARAMETER_VALUE"
    )


def tag_list(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in MLflow's form."""
    return [{"key": key, "value": value} for key, value in values.items()]


def _answer(response: httpx.Response, body: bytearray, path: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if response.is_success and isinstance(answer, dict):
        return answer
    error = answer if isinstance(answer, dict) else {}
    message = error.get("message") or f"a response that is not JSON: {body[:200].decode(errors='replace')!r}"
    code = str(error.get("error_code") or response.status_code)
    raise MlflowRefused(f"MLflow answered {response.status_code} to {path}: {message}", code)


def _run(run: Mapping[str, Any]) -> MlflowRun:
    info = run["info"]
    return MlflowRun(run_id=info["run_id"], experiment_id=info["experiment_id"], artifact_uri=info["artifact_uri"])


def _now() -> int:
    return int(time.time() * 1000)
