"""The app through the real worker library, as the platform loads it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from function_app.domain import naming
from function_app.settings import STORAGE
from tests.end_to_end.stacks import TIMERS

ROOT = Path(__file__).parents[2]
INDEX = """
import asyncio, json, logging, sys
from pathlib import Path

from local_azure.functions_host.worker import Worker


async def main():
    logging.getLogger().setLevel(logging.INFO)  # as the platform's worker does
    worker = await Worker.start(Path(sys.argv[1]))
    writing = ("azure.core.pipeline.policies.http_logging_policy", "azure.identity", "function_app.drops.settling")
    heard = [name for name in writing if logging.getLogger(name).isEnabledFor(logging.INFO)]
    heavy = sys.modules.keys() & {"azure.ai.ml", "azure.storage.blob", "azure.eventgrid", "fastapi"}
    functions = {one.name: list(one.bindings) for one in worker.functions}
    print(json.dumps({"functions": functions, "heavy": list(heavy), "heard": heard}))
    worker.stop()


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("KEDJA_", "WEBSITE_"))},
        "PYTHONPATH": str(ROOT),
        "PYTHON_SCRIPT_FILE_NAME": "app.py",
        "KEDJA_AUTH": "keys",
    }
    command = [sys.executable, "-c", INDEX, str(ROOT)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def test_each_request_of_azure_s_libraries_is_no_line_of_the_log(indexed: dict[str, Any]) -> None:
    assert indexed["heard"] == ["function_app.drops.settling"]


def trigger(indexed: dict[str, Any], function: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in indexed["functions"][function] if one["type"].lower().endswith("trigger")
    )
    return found


def test_every_function_is_there(indexed: dict[str, Any]) -> None:
    assert set(indexed["functions"]) == {
        "http_api",
        "on_blob_event",
        "on_blob_event_poison",
        "on_run_event",
        "on_run_event_poison",
        "on_settled",
        "on_settled_poison",
        "receive_event",
        "reconcile",
        "tidy",
        "walk",
    }


@pytest.mark.parametrize(
    ("function", "queue"),
    [
        ("on_blob_event", naming.BLOB_EVENTS),
        ("on_settled", naming.SETTLED_DROPS),
        ("on_run_event", naming.RUN_EVENTS),
        ("on_blob_event_poison", "blob-events-poison"),
        ("on_settled_poison", "settled-drops-poison"),
        ("on_run_event_poison", "run-events-poison"),
    ],
)
def test_each_queue_has_its_function(indexed: dict[str, Any], function: str, queue: str) -> None:
    binding = trigger(indexed, function)
    assert (binding["type"], binding["queueName"], binding["connection"]) == ("queueTrigger", queue, STORAGE)


def test_the_other_triggers(indexed: dict[str, Any]) -> None:
    timers = {name for name in indexed["functions"] if trigger(indexed, name)["type"] == "timerTrigger"}
    assert timers == set(TIMERS), "the tests that disable or poke timers name others"
    assert {trigger(indexed, timer)["schedule"] for timer in timers} == {"0 */5 * * * *"}
    assert trigger(indexed, "receive_event")["type"] == "eventGridTrigger"
    http = trigger(indexed, "http_api")
    assert (http["route"], http["authLevel"].lower()) == ("/{*route}", "anonymous")


def test_indexing_imports_nothing_heavy(indexed: dict[str, Any]) -> None:
    assert indexed["heavy"] == []


def test_host_json_is_what_the_triggers_count_on() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    queues = host["extensions"]["queues"]
    assert (queues["messageEncoding"], queues["maxDequeueCount"]) == ("base64", 10)
    assert (queues["visibilityTimeout"], queues["maxPollingInterval"]) == ("00:00:30", "00:00:02")
    assert host["extensions"]["http"]["routePrefix"] == ""
