"""An MLflow server for tests, in place of the network: a transport of `requests` that answers itself."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

from training_job.tracking.mlflow_http import Connection, MlflowHttp

RUN = "f6aaaf197752474a953fb62e8ecdac0e"

# Answers of MLflow 3.17.2, recorded; long messages are cut.
TAKEN = (200, "{}")
PARAM_CHANGED = (
    400,
    (
        '{"error_code": "INVALID_PARAMETER_VALUE", "message": "Changing param values is not allowed.", '
        '"sqlstate": "KAM00", "error_class": "INVALID_PARAMETER_VALUE"}'
    ),
)
NO_RUN = (
    404,
    (
        '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run with id=0000 not found", '
        '"sqlstate": "KAM00", "error_class": "RESOURCE_NOT_FOUND"}'
    ),
)
NO_ENDPOINT = (404, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n")
BROKEN = (500, "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n")
DESCRIBED = (
    200,
    (
        '{"run": {"info": {"run_uuid": "f6aaaf197752474a953fb62e8ecdac0e", "experiment_id": "1", "run_name": "digits", '
        '"user_id": "", "status": "RUNNING", "start_time": 1, "artifact_uri": '
        '"mlflow-artifacts:/1/f6aaaf197752474a953fb62e8ecdac0e/artifacts", "lifecycle_stage": "active", '
        '"run_id": "f6aaaf197752474a953fb62e8ecdac0e"}, "data": {"metrics": [{"key": "a", "value": '
        '-1.7976931348623157e+308, "timestamp": 5, "step": 6}], "params": [{"key": "epochs", "value": "3"}], '
        '"tags": [{"key": "mlflow.runName", "value": "digits"}]}, "inputs": {}, "outputs": {}}}'
    ),
)

Answer = tuple[int, str] | tuple[int, str, Mapping[str, str]] | Exception


class Network(BaseAdapter):
    """Keeps the requests that are sent, and gives one answer to each: an exception, or status, body and headers."""

    def __init__(self, answer: Callable[[requests.PreparedRequest], Answer]) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []
        self._answer = answer

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401
        self.sent.append(request)
        self.options.append(options)
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code = answer[0]
        response.headers.update(answer[2] if len(answer) > 2 else {})
        response._content = answer[1].encode()
        response.url, response.request = str(request.url), request
        return response

    def close(self) -> None:
        """Hold nothing."""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [content(request) for request in self.sent if request.body]

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", self)
        session.mount("https://", self)
        return session


def content(request: requests.PreparedRequest) -> dict[str, Any]:
    """Return the JSON object that a request carries."""
    assert isinstance(request.body, bytes)
    found: dict[str, Any] = json.loads(request.body)
    return found


def answers(*given: Answer) -> Network:
    """Return a network that gives these answers, one after the other."""
    left = iter(given)
    return Network(lambda _: next(left))


class Server:
    """As much of an MLflow server as a job uses. It refuses a batch that has a record of the name `refused`."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.network = Network(self._answer)

    def client(self) -> MlflowHttp:
        return MlflowHttp(Connection(address="http://mlflow.test"), open_session=self.network.session)

    def _answer(self, request: requests.PreparedRequest) -> Answer:
        url = urlsplit(str(request.url))
        if (request.method, url.path) == ("GET", "/api/2.0/mlflow/runs/get"):
            params = [{"key": key, "value": value} for key, value in self.params.items()]
            return 200, json.dumps(
                {"run": {"info": {"run_id": parse_qs(url.query)["run_id"][0]}, "data": {"params": params}}}
            )
        assert (request.method, url.path) == ("POST", "/api/2.0/mlflow/runs/log-batch")
        body = content(request)
        metrics, params, tags = (body.get(key, []) for key in ("metrics", "params", "tags"))
        changed = [one for one in params if self.params.get(one["key"], one["value"]) != one["value"]]
        if changed or any(one["key"] == "refused" for one in (*metrics, *params, *tags)):
            return PARAM_CHANGED
        self.metrics += metrics
        self.params |= {one["key"]: one["value"] for one in params}
        self.tags |= {one["key"]: one["value"] for one in tags}
        return TAKEN
