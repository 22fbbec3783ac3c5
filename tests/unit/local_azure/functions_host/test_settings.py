import json
from pathlib import Path

import pytest

from local_azure.functions_host.settings import (
    HostSettings,
    InvalidHostSettings,
    QueueOptions,
    load_local_settings,
    queue_client,
    resolve,
)

KEY = "bm8gcmVhbCBrZXk="
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.windows.net"


def host_json(root: Path, document: object) -> HostSettings:
    (root / "host.json").write_text(json.dumps(document))
    return HostSettings.read(root)


def test_an_empty_host_json_has_the_real_defaults(tmp_path: Path) -> None:
    settings = host_json(tmp_path, {"version": "2.0"})
    assert settings == HostSettings(
        route_prefix="api",
        queues=QueueOptions(
            batch_size=16,
            new_batch_threshold=8,
            visibility_timeout=0,
            max_dequeue_count=5,
            max_polling_interval=60,
            base64=True,
        ),
    )


def test_what_host_json_says_is_read(tmp_path: Path) -> None:
    queues = {
        "batchSize": 4,
        "visibilityTimeout": "00:00:30",
        "maxDequeueCount": 10,
        "maxPollingInterval": "00:00:02.5",
        "messageEncoding": "none",
    }
    settings = host_json(tmp_path, {"extensions": {"http": {"routePrefix": "/"}, "queues": queues}})
    assert settings.route_prefix == ""
    assert settings.queues == QueueOptions(
        batch_size=4,
        new_batch_threshold=2,
        visibility_timeout=30,
        max_dequeue_count=10,
        max_polling_interval=2.5,
        base64=False,
    )


@pytest.mark.parametrize(
    "queues",
    [
        {"visibilityTimeout": "30"},
        {"maxPollingInterval": 2},
        {"messageEncoding": "utf8"},
        {"batchSize": 33},
        {"batchSize": "many"},
        [],
    ],
)
def test_values_of_the_wrong_form_are_refused(tmp_path: Path, queues: object) -> None:
    with pytest.raises(InvalidHostSettings, match=r"host\.json"):
        host_json(tmp_path, {"extensions": {"queues": queues}})


def test_a_missing_host_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidHostSettings, match=r"host\.json cannot be read"):
        HostSettings.read(tmp_path)


def test_local_settings_leave_what_is_set_already(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text('\ufeff{"Values": {"A": "1", "B": "2"}}', encoding="utf-8")
    environment = {"A": "kept"}
    load_local_settings(file, environment)
    assert environment == {"A": "kept", "B": "2"}


@pytest.mark.parametrize("text", ["no json", "[]", '{"Values": {"A": 1}}', '{"Values": []}'])
def test_local_settings_of_the_wrong_form_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(text)
    with pytest.raises(InvalidHostSettings, match=r"local\.settings\.json"):
        load_local_settings(file, {})


def test_bindings_may_name_app_settings() -> None:
    assert resolve("%PREFIX%-drops", {"PREFIX": "a"}) == "a-drops"
    with pytest.raises(InvalidHostSettings, match="PREFIX"):
        resolve("%PREFIX%-drops", {})


@pytest.mark.parametrize(
    ("connection", "environment", "url"),
    [
        ("Storage", {"Storage": CONNECTION}, "https://acc.queue.core.windows.net/drops"),
        ("", {"AzureWebJobsStorage": CONNECTION}, "https://acc.queue.core.windows.net/drops"),
        ("Storage", {"AzureWebJobsStorage": CONNECTION}, "https://acc.queue.core.windows.net/drops"),
        (
            "Storage",
            {"Storage": "UseDevelopmentStorage=true"},
            "http://127.0.0.1:10001/devstoreaccount1/drops",
        ),
        (
            "Storage",
            {"Storage__queueServiceUri": "http://127.0.0.1:9/devstoreaccount1"},
            "http://127.0.0.1:9/devstoreaccount1/drops",
        ),
        (
            "Storage",
            {"Storage__queueServiceUri": "https://acc.queue.core.windows.net"},
            "https://acc.queue.core.windows.net/drops",
        ),
    ],
)
def test_a_connection_is_found_by_its_name(connection: str, environment: dict[str, str], url: str) -> None:
    with queue_client("drops", connection, environment) as client:
        assert client.url == url


def test_a_missing_connection_is_named() -> None:
    with pytest.raises(InvalidHostSettings, match="Storage__queueServiceUri"):
        queue_client("drops", "Storage", {})


def test_a_wrong_connection_string_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidHostSettings, match="The app setting Storage is no") as caught:
        queue_client("drops", "Storage", {"Storage": f"AccountKey={KEY}"})
    assert KEY not in str(caught.value)
