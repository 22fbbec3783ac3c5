import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[4]

# The worker library takes one app a process, so each test drives it in a process of its own.
DRIVER = """
import asyncio, json, sys
from pathlib import Path
from local_azure.functions_host.log import log_to_stderr
from local_azure.functions_host.worker import UnknownFunction, Worker, WorkerError
from local_azure.functions_host.rpc_messages import RpcHttp, TypedData

def data(kind, value):
    if kind == "http":
        return TypedData(http=RpcHttp(**{**value, "body": TypedData(bytes=value["body"].encode())}))
    return TypedData(**{kind: value})

async def main(root, calls):
    try:
        worker = await Worker.start(Path(root))
    except WorkerError as error:
        return {"error": str(error)}
    log_to_stderr(worker.running)
    answers = []
    for name, kind, value in calls:
        try:
            ended = await worker.invoke(name, data(kind, value))
        except UnknownFunction as error:
            answers.append({"unknown": str(error)})
            continue
        answer = {"succeeded": ended.succeeded, "message": ended.message, "stack": ended.stack}
        if ended.return_value is not None:
            http = ended.return_value.http
            cookies = [[c.name, c.value, c.path.value, c.same_site] for c in http.cookies or []]
            answer["http"] = [http.status_code, http.body.bytes.decode(), cookies]
        answers.append(answer)
    assert not worker.running
    worker.stop()
    functions = {f.name: [f.trigger["type"], [b["type"] for b in f.bindings]] for f in worker.functions}
    return {"functions": functions, "answers": answers}

print(json.dumps(asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))))
"""

APP = """
import logging, os
import azure.functions as func

app = func.FunctionApp()

@app.function_name("on_drop")
@app.queue_trigger(arg_name="message", queue_name="drops", connection="AzureWebJobsStorage")
def on_drop(message: func.QueueMessage) -> None:
    logging.info("read %s in %s", message.get_body().decode(), os.path.basename(os.getcwd()))
    if message.get_body() == b"bad":
        raise ValueError("bad drop")

@app.function_name("tick")
@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
async def tick(timer: func.TimerRequest) -> None:
    logging.warning("past due %s", timer.past_due)

@app.function_name("hello")
@app.route(route="hello/{name}", methods=["POST"])
def hello(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(f"{req.method} {req.route_params['name']} {req.get_body().decode()}", status_code=201)
    response.headers["Set-Cookie"] = "a=1; Path=/x; SameSite=Strict; Expires=Thu, 01 Jan 2026 00:00:00 GMT"
    return response
"""

RETRIED_ROUTE = """
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
@app.route("""


def drive(root: Path, *calls: tuple[str, str, object], script: str = "app.py") -> tuple[dict[str, Any], str]:
    """Return what the driver printed as JSON, and its log."""
    process = subprocess.run(
        [sys.executable, "-c", DRIVER, str(root), json.dumps(calls)],
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY), "PYTHON_SCRIPT_FILE_NAME": script},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer, process.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_every_function_is_indexed_with_its_bindings(root: Path) -> None:
    answer, _ = drive(root)
    assert answer["functions"] == {
        "on_drop": ["queueTrigger", ["queueTrigger"]],
        "tick": ["timerTrigger", ["timerTrigger"]],
        "hello": ["httpTrigger", ["httpTrigger", "http"]],
    }


def test_functions_are_run_and_their_failures_are_answers(root: Path) -> None:
    answer, log = drive(
        root,
        ("on_drop", "string", "good"),
        ("on_drop", "string", "bad"),
        ("tick", "json", '{"IsPastDue": true}'),
        ("nobody", "string", ""),
    )
    good, bad, tick, nobody = answer["answers"]
    assert (good["succeeded"], bad["succeeded"], tick["succeeded"]) == (True, False, True)
    assert bad["message"] == "ValueError: bad drop"
    assert 'raise ValueError("bad drop")' in bad["stack"]
    assert nobody["unknown"] == "There is no function 'nobody': the app has hello, on_drop, tick."
    lines = log.splitlines()
    # Synchronous functions log from the worker's threads, coroutines from the event loop.
    assert any("INFO    [on_drop " in line and f"read good in {root.name}" in line for line in lines)
    assert any("WARNING [tick " in line and "past due True" in line for line in lines)
    assert any("ERROR   [on_drop " in line and "ValueError: bad drop" in line for line in lines)
    assert "Traceback (most recent call last):" in lines


def test_http_answers_carry_status_body_and_cookies(root: Path) -> None:
    request = {"method": "POST", "url": "http://x/hello/bo", "headers": {}, "params": {"name": "bo"}, "query": {}}
    answer, _ = drive(root, ("hello", "http", {**request, "body": "abc"}))
    strict = 2
    assert answer["answers"][0]["http"] == ["201", "POST bo abc", [["a", "1", "/x", strict]]]


@pytest.mark.parametrize(
    ("source", "script", "expected"),
    [
        (APP, "other.py", "There is no "),
        ("import not_a_module", "app.py", "cannot be indexed: ModuleNotFoundError"),
        ("raise RuntimeError('no settings')", "app.py", "cannot be indexed: RuntimeError: no settings"),
        ("x = 1", "app.py", "Could not find top level function app instances in app.py"),
        ("import azure.functions as func\napp = func.FunctionApp()\nsecond = app", "app.py", "More than one"),
        ("import azure.functions as func\napp = func.FunctionApp()", "app.py", "defines no function"),
        (APP.replace("@app.route(", RETRIED_ROUTE), "app.py", "hello has a retry policy"),
    ],
)
def test_an_app_that_cannot_run_is_an_error_that_says_why(
    tmp_path: Path, source: str, script: str, expected: str
) -> None:
    (tmp_path / "app.py").write_text(source)
    answer, _ = drive(tmp_path, script=script)
    assert expected in answer["error"]
    assert script in answer["error"] or "Function hello" in answer["error"]
