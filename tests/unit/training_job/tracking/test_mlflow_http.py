import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from mlflow import MlflowClient, entities
from mlflow.utils import request_utils
from requests.adapters import HTTPAdapter

from tests.unit.training_job.mlflow_server import (
    BROKEN,
    DESCRIBED,
    NO_ENDPOINT,
    NO_RUN,
    PARAM_CHANGED,
    RUN,
    TAKEN,
    Answer,
    Network,
    answers,
    content,
)
from training_job.tracking.client import Metric, Param, Record, RecordsRefusedError, Tag, TrackingError
from training_job.tracking.mlflow_http import Connection, MlflowHttp, can_reach

METRIC = Metric(name="a", value=1.5, step=3, time=5)
RECORDS: list[Record] = [
    METRIC,
    Metric(name="a", value=math.nan, step=4, time=6),
    Metric(name="a", value=math.inf, step=-5, time=7),
    Metric(name="main/loss", value=-math.inf, step=0, time=1 << 40),
    Metric(name="b", value=0.0, step=(1 << 63) - 1, time=8),
    Metric(name="b", value=-3.0, step=0, time=9),
    Param(name="epochs", value="3"),
    Param(name="", value=""),
    Tag(name="t", value="späť \N{SNOWMAN} \U0001f600"),
]
BODY = {
    "run_id": RUN,
    "metrics": [
        {"key": "a", "value": 1.5, "timestamp": 5, "step": 3},
        {"key": "a", "value": "NaN", "timestamp": 6, "step": 4},
        {"key": "a", "value": "Infinity", "timestamp": 7, "step": -5},
        {"key": "main/loss", "value": "-Infinity", "timestamp": 1 << 40, "step": 0},
        {"key": "b", "value": 0.0, "timestamp": 8, "step": (1 << 63) - 1},
        {"key": "b", "value": -3.0, "timestamp": 9, "step": 0},
    ],
    "params": [{"key": "epochs", "value": "3"}, {"key": "", "value": ""}],
    "tags": [{"key": "t", "value": "späť \N{SNOWMAN} \U0001f600"}],
}
URI = "https://mlflow.test:8443"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have a home without files, and no settings of MLflow's or of `requests`."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Waits(list[float]):
    """The seconds that a client slept."""

    def client(self, network: Network, retries: int = 2) -> MlflowHttp:
        connection = Connection(address="http://mlflow.test", retries=retries)
        return MlflowHttp(connection, open_session=network.session, sleep=self.append, jitter=lambda: 0.5)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def test_a_batch_is_one_request(waits: Waits) -> None:
    network = answers(TAKEN)
    waits.client(network).log_batch(RUN, RECORDS)
    assert [(request.method, request.url) for request in network.sent] == [
        ("POST", "http://mlflow.test/api/2.0/mlflow/runs/log-batch")
    ]
    assert network.bodies == [BODY]


def test_the_parameters_of_a_run_are_read(waits: Waits) -> None:
    network = answers(DESCRIBED, (200, '{"run": {"info": {}}}'))
    client = waits.client(network)
    assert set(client.param_names(RUN)) == {"epochs"}
    assert set(client.param_names(RUN)) == set()
    assert network.sent[0].url == f"http://mlflow.test/api/2.0/mlflow/runs/get?run_id={RUN}"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Put a network where every session of `requests` sends to, MLflow's own included."""
    network = Network(lambda request: TAKEN if request.method == "POST" else DESCRIBED)
    monkeypatch.setattr(HTTPAdapter, "send", lambda _, request, **options: network.send(request, **options))
    request_utils._cached_get_request_session.cache_clear()
    return network


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/"},
        {"MLFLOW_TRACKING_URI": "https://mlflow.test/base/path"},
        {"MLFLOW_TRACKING_URI": "https://ada:l0ve%40lace@mlflow.test"},
        {"MLFLOW_TRACKING_TOKEN": "t0ken"},
        {"MLFLOW_TRACKING_TOKEN": " tökên "},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pass:wörd"},
        {"MLFLOW_TRACKING_USERNAME": "ada"},
        {"MLFLOW_TRACKING_PASSWORD": "password", "MLFLOW_TRACKING_TOKEN": "t0ken"},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t0ken"},
        {"MLFLOW_TRACKING_INSECURE_TLS": "true"},
        {"MLFLOW_TRACKING_INSECURE_TLS": "true", "REQUESTS_CA_BUNDLE": "/etc/ca.pem"},
        {"MLFLOW_TRACKING_INSECURE_TLS": "0"},
        {"REQUESTS_CA_BUNDLE": "/etc/ca.pem"},
        {"CURL_CA_BUNDLE": "/etc/ca.pem"},
        {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/etc/server.pem", "REQUESTS_CA_BUNDLE": "/etc/ca.pem"},
        {"MLFLOW_TRACKING_CLIENT_CERT_PATH": "/etc/client.pem"},
        {"HTTPS_PROXY": "http://proxy.test:3128"},
        {"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": "mlflow.test"},
        {"MLFLOW_HTTP_REQUEST_TIMEOUT": "7"},
    ],
)
def test_requests_are_those_of_mlflows_own_client(
    environment: dict[str, str], sent: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"MLFLOW_TRACKING_URI": URI, "MLFLOW_HTTP_REQUEST_TIMEOUT": "20", **environment}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    theirs = MlflowClient()
    theirs.log_batch(
        RUN,
        metrics=[
            entities.Metric(one.name, one.value, one.time, one.step) for one in RECORDS if isinstance(one, Metric)
        ],
        params=[entities.Param(one.name, one.value) for one in RECORDS if isinstance(one, Param)],
        tags=[entities.RunTag(one.name, one.value) for one in RECORDS if isinstance(one, Tag)],
    )
    params = theirs.get_run(RUN).data.params
    assert can_reach(settings)
    ours = MlflowHttp(Connection.from_environment(settings))
    ours.log_batch(RUN, RECORDS)
    assert set(ours.param_names(RUN)) == set(params)
    found = [facts(*one) for one in zip(sent.sent, sent.options, strict=True) if "/mlflow/runs/" in str(one[0].url)]
    assert len(found) == 4
    assert found[2:] == found[:2]


def facts(request: requests.PreparedRequest, options: dict[str, Any]) -> dict[str, Any]:
    """Return what two clients should have in common."""
    url = urlsplit(str(request.url))
    return {
        "method": request.method,
        "url": url._replace(query="").geturl(),
        "run": parse_qs(url.query).get("run_id"),
        "body": content(request) if request.body else None,
        "headers": {name: request.headers.get(name) for name in ("Authorization", "Content-Type")},
        **{name: options[name] for name in ("timeout", "verify", "cert")},
        "proxies": dict(options["proxies"]),
    }


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Metric(name="a", value=1, step=1 << 63, time=1), "Value out of range: 9223372036854775808"),
        (Metric(name="a", value=1, step=0, time=-(1 << 63) - 1), "Value out of range: -9223372036854775809"),
        (Tag(name="t", value="\ud800"), "no Unicode text: surrogates not allowed"),
        (Param(name="p", value="\udcff"), "no Unicode text: surrogates not allowed"),
    ],
)
def test_what_mlflow_has_no_place_for_is_not_sent(record: Record, reason: str, waits: Waits) -> None:
    # MLflow 3.17 answers 200 to all of these, and keeps something else.
    network = answers()
    with pytest.raises(RecordsRefusedError, match=re.escape(reason)):
        waits.client(network).log_batch(RUN, [METRIC, record])
    assert network.sent == []


@pytest.mark.parametrize(
    "answer",
    [
        PARAM_CHANGED,
        (400, '{"error_code": "BAD_REQUEST", "message": "no"}'),
        (400, "<html>Bad Request</html>"),
        (422, '{"error_code": "INVALID_PARAMETER_VALUE"}'),
    ],
)
def test_a_refusal_is_no_failure(answer: Answer, waits: Waits) -> None:
    network = answers(answer)
    with pytest.raises(RecordsRefusedError, match=r"^(INVALID_PARAMETER_VALUE|BAD_REQUEST): "):
        waits.client(network).log_batch(RUN, [METRIC])
    assert (len(network.sent), waits) == (1, [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NO_RUN, "answers 404 to runs/log-batch: Run with id=0000 not found"),
        (NO_ENDPOINT, "answers 404 to runs/log-batch: <!doctype html> <html lang=en> <title>404 Not Found"),
        ((401, ""), "answers 401 to runs/log-batch: None"),
        ((403, '{"error_code": "PERMISSION_DENIED", "message": "not yours"}'), "answers 403 to runs/log-batch: not "),
        ((400, '{"detail": "none of the codes"}'), "answers 400"),
        ((400, '{"error_code": 3}'), "answers 400"),
        ((200, "<html>Sign in"), "answers runs/log-batch with something other than JSON: '<html>Sign in'"),
        ((200, "[]"), "answers runs/log-batch with something other than JSON"),
        ((200, "[" * 100_000), "answers runs/log-batch with something other than JSON"),
        ((204, ""), "answers 204"),
        ((501, '{"error_code": "INVALID_PARAMETER"}'), "answers 501"),
    ],
)  # fmt: skip
def test_other_answers_say_that_nothing_arrived(answer: Answer, said: str, waits: Waits) -> None:
    network = answers(answer)
    with pytest.raises(TrackingError, match=re.escape(f"MLflow at http://mlflow.test {said}")) as raised:
        waits.client(network).log_batch(RUN, [METRIC])
    assert not isinstance(raised.value, RecordsRefusedError)
    assert (len(network.sent), waits) == (1, [])


@pytest.mark.parametrize("body", ["{}", "", " \n", "200 OK"])
def test_success_needs_no_body(body: str, waits: Waits) -> None:
    waits.client(answers((200, body))).log_batch(RUN, [METRIC])


@pytest.mark.parametrize("body", ["{}", '{"run": 3}', '{"run": {"data": []}}', '{"run": {"data": {"params": [3]}}}'])
def test_a_run_that_is_none_is_no_answer(body: str, waits: Waits) -> None:
    with pytest.raises(TrackingError, match="describes no run"):
        waits.client(answers((200, body))).param_names(RUN)


TRANSIENT: list[Answer] = [
    *((status, "") for status in (408, 429, 500, 502, 503, 504)),
    (503, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "busy"}'),  # no refusal, whatever it says
    requests.ConnectionError("reset"),
    requests.exceptions.ChunkedEncodingError("cut off"),
    requests.exceptions.SSLError("handshake"),
    requests.ConnectTimeout("slow"),
    requests.ReadTimeout("slow"),
    BROKEN,
]


@pytest.mark.parametrize("failure", TRANSIENT, ids=repr)
def test_what_may_pass_is_tried_again(failure: Answer, waits: Waits) -> None:
    network = answers(failure, failure, TAKEN)
    waits.client(network).log_batch(RUN, [METRIC])
    assert len({request.body for request in network.sent}) == 1
    assert waits == [0, 4.5]


@pytest.mark.parametrize("failure", TRANSIENT, ids=repr)
def test_tries_end(failure: Answer, waits: Waits) -> None:
    network = answers(*[failure] * 4)
    with pytest.raises(
        TrackingError, match=r"MLflow at http://mlflow\.test (answers|cannot be reached|does not answer)"
    ):
        waits.client(network).log_batch(RUN, [METRIC])
    assert (len(network.sent), waits) == (3, [0, 4.5])


def test_waits_grow_up_to_two_minutes(waits: Waits) -> None:
    with pytest.raises(TrackingError):
        waits.client(answers(*[BROKEN] * 9), retries=8).log_batch(RUN, [METRIC])
    assert waits == [0, 4.5, 8.5, 16.5, 32.5, 64.5, 120, 120]


@pytest.mark.parametrize(("asked", "wait"), [("3", 3), (" 7 ", 7), ("86400", 30), ("Wed, 21 Oct 2026 07:28:00 GMT", 0)])
def test_retry_after_is_followed_within_a_bound(asked: str, wait: float, waits: Waits) -> None:
    waits.client(answers((429, "", {"Retry-After": asked}), TAKEN)).log_batch(RUN, [METRIC])
    assert waits == [wait]


SECRET = "s3cret"


@pytest.mark.parametrize(
    "environment",
    [
        {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@mlflow.test"},
        {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@mlflow.test:port"},
        {"MLFLOW_TRACKING_URI": f"http://ada:/{SECRET}@mlflow.test"},
        {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@[::1"},
        {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@mlflow\N{ACCOUNT OF}test"},
        {"MLFLOW_TRACKING_TOKEN": SECRET},
        {"MLFLOW_TRACKING_TOKEN": f"{SECRET}\n"},
        {"MLFLOW_TRACKING_TOKEN": f"{SECRET}\u2603"},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": f"{SECRET}\udcff"},
    ],
)
@pytest.mark.parametrize("answer", [requests.ConnectionError("refused"), (401, "{}"), (400, ""), (503, "")], ids=repr)
def test_no_error_holds_a_secret(environment: dict[str, str], answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"MLFLOW_TRACKING_URI": URI, **environment}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    network = Network(lambda _: answer)
    monkeypatch.setattr(HTTPAdapter, "send", lambda _, request, **options: network.send(request, **options))
    with pytest.raises(TrackingError) as raised:
        MlflowHttp(Connection.from_environment(settings), sleep=lambda _: None).log_batch(RUN, [METRIC])
    assert SECRET not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"


def test_no_error_holds_the_secret_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://ada:{SECRET}@proxy.test:port")
    with pytest.raises(TrackingError, match=r"https://mlflow\.test:8443 cannot be asked \(.*the proxy$") as raised:
        MlflowHttp(Connection(address=URI)).log_batch(RUN, [METRIC])
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_a_connection_shows_no_secret() -> None:
    connection = Connection.from_environment(
        {"MLFLOW_TRACKING_URI": f"http://ada:{SECRET}@mlflow.test/a", "MLFLOW_TRACKING_TOKEN": SECRET}
    )
    assert SECRET not in repr(connection)
    assert connection.server == "http://mlflow.test/a"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MLFLOW_TRACKING_TOKEN", "t0ken\n", "has a character that no HTTP header can hold, such as a line break"),
        ("MLFLOW_TRACKING_TOKEN", "t0ken\N{SNOWMAN}", "has a character that no HTTP header can hold"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "maybe", "is 'maybe'; it must be true or false"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon", "is 'soon'; it must be a number from 1 to"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "0", "is '0'; it must be a number from 1 to"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "11", "is '11'; it must be a number from 0 to 10"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "-1", "is '-1'; it must be a number from 0 to 10"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(TrackingError, match=re.escape(f"{name} {said}")):
        Connection.from_environment({"MLFLOW_TRACKING_URI": URI, name: value})


def test_two_settings_that_contradict_each_other_are_named() -> None:
    settings = {"MLFLOW_TRACKING_INSECURE_TLS": "1", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/etc/server.pem"}
    with pytest.raises(TrackingError, match="either MLFLOW_TRACKING_INSECURE_TLS or MLFLOW_TRACKING_SERVER_CERT_PATH"):
        Connection.from_environment({"MLFLOW_TRACKING_URI": URI, **settings})


@pytest.mark.parametrize(
    ("uri", "reached"),
    [
        ("http://127.0.0.1:5000", True),
        ("HTTPS://mlflow.test", True),
        ("http://[::1", True),
        ("azureml://127.0.0.1/mlflow/v1.0/subscriptions/s", False),
        ("file:///tmp/mlruns", False),
        ("databricks", False),
        ("mlruns", False),
        ("", False),
    ],
)
def test_addresses_of_http_are_reached(uri: str, reached: bool) -> None:  # noqa: FBT001
    assert can_reach({"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": RUN, "MLFLOW_DISABLE_TELEMETRY": "true"}) is reached


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_AUTH",
        "MLFLOW_TRACKING_AWS_SIGV4",
        "MLFLOW_WORKSPACE",
        "MLFLOW_ACTIVE_MODEL_ID",
        "MLFLOW_ALLOW_HTTP_REDIRECTS",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER",
    ],
)
def test_settings_that_mlflow_alone_follows_are_left_to_it(name: str) -> None:
    assert not can_reach({"MLFLOW_TRACKING_URI": URI, name: "x"})


def test_what_mlflow_notes_for_itself_is_no_setting() -> None:
    assert can_reach({"MLFLOW_TRACKING_URI": URI, "_MLFLOW_TELEMETRY_SESSION_ID": "x"})


def test_mlflows_file_of_credentials_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text("[mlflow]\nmlflow_tracking_username = ada\n")
    assert not can_reach({"MLFLOW_TRACKING_URI": URI})
