"""The two calls of MLflow's REST API that a job makes, for tracking servers at http:// and https:// addresses.

Format: MLflow's REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html). The `mlflow` package would send the same
requests, but takes 1.5 s of processor time to import. `requests`, which MLflow uses as well, takes 0.1 s, and handles
proxies, NO_PROXY, REQUESTS_CA_BUNDLE, .netrc and redirects as MLflow does.
"""

import base64
import json
import math
import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_job.tracking.client import REFUSALS, Metric, Param, Record, RecordsRefusedError, Tag, TrackingError

if TYPE_CHECKING:
    import requests

_SCHEMES = ("http://", "https://")
_API = "/api/2.0/mlflow/"
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_BACKOFF_FACTOR, _BACKOFF_JITTER, _MAX_BACKOFF = 2.0, 1.0, 120.0  # seconds; what MLflow's client has by default
_MAX_RETRY_AFTER = 30.0  # seconds; limits how long a server can delay the end of a job
_MAX_RETRIES = 10  # MLflow's own limit
_INT64 = 1 << 63  # steps and times are int64 in MLflow
_LAST_LATIN_1 = "\xff"  # what a header is encoded in
_EMPTY = ("", "200 OK")  # responses that mean an empty object, as from Databricks
_FOLLOWED = frozenset(
    {
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_INSECURE_TLS",
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
    }
)
_OF_CONNECTIONS = (
    *("MLFLOW_TRACKING_", "MLFLOW_HTTP_", "MLFLOW_ALLOW_HTTP_"),
    *("MLFLOW_WORKSPACE", "MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_ACTIVE_MODEL_ID", "_MLFLOW_HTTP_"),
)
_CREDENTIALS = Path("~/.mlflow/credentials")


def can_reach(environment: Mapping[str, str]) -> bool:
    """Whether `MlflowHttp` reaches the tracking server of these variables in the same way as MLflow's client.

    It does not if the address has another scheme, or if a setting is present that only MLflow's client supports, such
    as MLFLOW_TRACKING_AUTH, MLFLOW_WORKSPACE or its file of credentials.
    """
    if not environment.get("MLFLOW_TRACKING_URI", "").lower().startswith(_SCHEMES):
        return False
    others = (name for name in environment.keys() - _FOLLOWED if name.startswith(_OF_CONNECTIONS))
    return not any(others) and not _CREDENTIALS.expanduser().exists()


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a tracking server is reached. `timeout` is in seconds; `verify` may be the path of a CA bundle."""

    address: str = field(repr=False)  # it may hold a password
    authorization: str | None = field(default=None, repr=False)
    verify: bool | str = True
    client_certificate: str | None = None
    retries: int = 2
    timeout: int = 20

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Connection":
        """Return the connection that MLflow's variables describe.

        Raises:
            TrackingError: A variable has a value that cannot be used.
        """
        insecure = _switch(environment, "MLFLOW_TRACKING_INSECURE_TLS")
        bundle = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
        if insecure and bundle is not None:
            raise TrackingError("set either MLFLOW_TRACKING_INSECURE_TLS or MLFLOW_TRACKING_SERVER_CERT_PATH, not both")
        return cls(
            address=environment["MLFLOW_TRACKING_URI"].removesuffix("/"),
            authorization=_authorization(environment),
            verify=not insecure if bundle is None else bundle,
            client_certificate=environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
            retries=_number(environment, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", cls.retries, range(_MAX_RETRIES + 1)),
            timeout=_number(environment, "MLFLOW_HTTP_REQUEST_TIMEOUT", cls.timeout, range(1, 86_400)),
        )

    @property
    def server(self) -> str:
        """The address without what it may hold of a user name and a password."""
        return re.sub(r"//.*@", "//", self.address)


class MlflowHttp:
    """A client over HTTP. Failed calls are retried as MLflow's client does.

    With the default of two retries, a call to a server that never answers takes 65 s. `open_session`, `sleep` and
    `jitter` (a number from 0 to 1) are parameters for tests.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        open_session: "Callable[[], requests.Session] | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connection = connection
        self._open_session = open_session
        self._session: requests.Session | None = None
        self._sleep = sleep
        self._jitter = jitter

    def log_batch(self, run_id: str, records: Sequence[Record]) -> None:
        """See `TrackingClient`."""
        body: dict[str, Any] = {"run_id": run_id}
        for key, kind in (("metrics", Metric), ("params", Param), ("tags", Tag)):
            if found := [_document(one) for one in records if isinstance(one, kind)]:
                body[key] = found
        self._call("POST", "runs/log-batch", json=body)

    def param_names(self, run_id: str) -> Collection[str]:
        """See `TrackingClient`."""
        answer = self._call("GET", "runs/get", params={"run_id": run_id})
        try:
            return {str(param["key"]) for param in answer["run"].get("data", {}).get("params", [])}
        except (KeyError, TypeError, AttributeError) as error:
            raise TrackingError(f"MLflow at {self._connection.server} describes no run to runs/get") from error

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        """Return the JSON object of a response.

        Raises:
            RecordsRefusedError: The server refuses the content.
            TrackingError: Any other failure.
        """
        response, failure = self._try(method, path, content)
        for number in range(1, self._connection.retries + 1):
            if failure is None:
                break
            self._sleep(self._pause(number, response))
            response, failure = self._try(method, path, content)
        if failure is not None or response is None:
            raise TrackingError(failure)
        return _answer(response, f"MLflow at {self._connection.server}", path)

    def _try(self, method: str, path: str, content: Mapping[str, Any]) -> "tuple[requests.Response | None, str | None]":
        """Send a request once. Return the response, if any, and the problem if the request should be retried."""
        import requests  # noqa: PLC0415 - in the sending thread, so that no script waits for it

        connection = self._connection
        if self._session is None:
            self._session = (self._open_session or requests.Session)()
        server = f"MLflow at {connection.server}"
        try:
            response = self._session.request(
                method,
                f"{connection.address}{_API}{path}",
                headers={} if connection.authorization is None else {"Authorization": connection.authorization},
                timeout=connection.timeout,
                verify=connection.verify,
                cert=connection.client_certificate,
                **content,
            )
        except requests.Timeout:
            return None, f"{server} does not answer within {connection.timeout} s"
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            return None, f"{server} cannot be reached: {_cause(error)}"
        except (requests.RequestException, ValueError) as error:
            # The error's own message may contain the address with its password.
            problem = f"{server} cannot be asked ({type(error).__name__}): check MLFLOW_TRACKING_URI and the proxy"
            raise TrackingError(problem) from None
        if response.status_code in _RETRIED:
            return response, _failure(response, server, path)
        return response, None

    def _pause(self, number: int, response: "requests.Response | None") -> float:
        """Return the seconds to wait before retry `number`, from 1. As in MLflow, the first retry is immediate."""
        asked = "" if response is None else str(response.headers.get("Retry-After", "")).strip()
        if asked.isdecimal():
            return min(float(asked), _MAX_RETRY_AFTER)
        if number == 1:
            return 0.0
        return min(_BACKOFF_FACTOR * 2.0 ** (number - 1) + _BACKOFF_JITTER * self._jitter(), _MAX_BACKOFF)


def _authorization(environment: Mapping[str, str]) -> str | None:
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if user and password:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    if not token:
        return None
    if "\r" in token or "\n" in token or max(token) > _LAST_LATIN_1:
        raise TrackingError("MLFLOW_TRACKING_TOKEN has a character that no HTTP header can hold, such as a line break")
    return f"Bearer {token}"


def _switch(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "false").lower()
    if value not in ("true", "1", "false", "0"):
        raise TrackingError(f"{name} is {value!r}; it must be true or false")
    return value in ("true", "1")


def _number(environment: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    value = environment.get(name, str(default))
    if not value.strip().isdecimal() or int(value) not in allowed:
        raise TrackingError(f"{name} is {value!r}; it must be a number from {allowed[0]} to {allowed[-1]}")
    return int(value)


def _document(record: Record) -> dict[str, Any]:
    """Return a record as MLflow's own client would send it.

    Raises:
        RecordsRefusedError: A number is out of MLflow's range, or a text is not valid Unicode.
    """
    if isinstance(record, Metric):
        for number in (record.step, record.time):
            if not -_INT64 <= number < _INT64:
                raise RecordsRefusedError(f"Value out of range: {number}")
        return {"key": record.name, "value": _json(record.value), "timestamp": record.time, "step": record.step}
    try:
        record.value.encode()
    except UnicodeEncodeError as error:
        raise RecordsRefusedError(f"no Unicode text: {error.reason}") from error
    return {"key": record.name, "value": record.value}


def _json(value: float) -> float | str:
    """Return a number as in protobuf's JSON, where nan and infinity are strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _answer(response: "requests.Response", server: str, path: str) -> dict[str, Any]:
    """Return the JSON object of a response; `{}` if its body is empty."""
    answer = _object(response)
    if response.status_code == HTTPStatus.OK:
        if answer is None and response.text.strip() not in _EMPTY:
            raise TrackingError(f"{server} answers {path} with something other than JSON: {response.text[:200]!r}")
        return answer or {}
    by_default = "BAD_REQUEST" if answer is None and response.status_code == HTTPStatus.BAD_REQUEST else None
    code = (answer or {}).get("error_code", by_default)
    if code in REFUSALS:
        raise RecordsRefusedError(f"{code}: {_text(response)}")
    raise TrackingError(_failure(response, server, path))


def _failure(response: "requests.Response", server: str, path: str) -> str:
    return f"{server} answers {response.status_code} to {path}: {_text(response)}"


def _object(response: "requests.Response") -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _text(response: "requests.Response") -> str:
    """Return the error message of a response, in one line."""
    message = (_object(response) or {}).get("message") or response.text[:200]
    return " ".join(str(message).split()) or str(response.reason)


def _cause(error: Exception) -> str:
    """Return why no connection was made, without the names of urllib3's objects around it."""
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause))
