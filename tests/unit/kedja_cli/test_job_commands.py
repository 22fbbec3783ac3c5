import json

import httpx
import pytest

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, live, problem

JOB = "digits-3945c53ddec95d53-1"
LINE = {
    "experiment": "digits",
    "drop": "3945",
    "received_at": "2026-03-01T12:00:00Z",
    "status": "registered",
    "job": JOB,
    "model": "digits:1",
}


def log(text: str, next_offset: int) -> httpx.Response:
    return httpx.Response(200, text=text, headers={"X-Next-Offset": str(next_offset), "X-Complete": "false"})


def test_jobs_are_listed_with_tabs_into_a_pipe(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [LINE], "next": None}
    result = run("jobs", "-e", "digits", "--status", "registered", "-L", "1")
    assert result.stdout.split("\t")[:2] == [JOB, "registered"]
    assert dict(service.requests[0].url.params) == {"experiment": "digits", "status": "registered", "limit": "1"}


def test_jobs_as_json_are_what_the_service_told(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [LINE, LINE], "next": "x"}
    assert json.loads(run("jobs", "--json", "-L", "1").stdout) == [LINE]


def test_no_jobs_are_said_to_people_alone(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    result = run("jobs")
    assert (result.stdout, result.stderr) == ("", "there are no such jobs\n")


def test_log_is_read_to_its_end(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs"] = [log("epoch 1\n", 8), log("[bold]\n", 15), log("", 15)]
    assert run("logs", JOB).stdout == "epoch 1\n[bold]\n"
    assert [one.url.params["offset"] for one in service.requests] == ["0", "8", "15"]


def test_log_of_an_experiment_is_that_of_its_latest_job(run: Run, service: FakeService) -> None:
    service.routes |= {
        "GET /api/drops/digits/latest": {"status": "running", "attempts": [{"job": JOB}]},
        f"GET /api/jobs/{JOB}/logs": [log("hello\n", 6), log("", 6)],
    }
    assert json.loads(run("logs", "digits", "--json").stdout) == {"job": JOB, "text": "hello\n"}


def test_experiment_without_a_job_has_no_log(run: Run, service: FakeService) -> None:
    service.routes["GET /api/drops/digits/latest"] = {"status": "waiting", "what_to_do": "Drop a script."}
    result = run("logs", "digits")
    assert result.exit_code == Exit.NOT_FOUND
    assert "The latest drop of digits is waiting and has no job.\nDrop a script." in result.stderr


def test_followed_log_goes_on_from_the_last_byte_until_its_end(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs/live"] = [
        live(("log", "8", {"text": "epoch 1\n"})),
        live(),
        live(("log", "16", {"text": "epoch 2\n"}), ("end", None, {})),
    ]
    assert run("logs", JOB, "--follow").stdout == "epoch 1\nepoch 2\n"
    assert [one.headers.get("Last-Event-ID") for one in service.requests] == [None, "8", "8"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_job_is_canceled_and_retried(run: Run, service: FakeService, verb: str) -> None:
    service.routes[f"POST /api/jobs/{JOB}/{verb}"] = {"name": JOB, "status": "canceling"}
    assert run(verb, JOB).stdout == f"{JOB}: canceling\n"
    assert service.requests[0].headers["Idempotency-Key"]


def test_refusal_is_told_with_what_to_do(run: Run, service: FakeService) -> None:
    service.routes[f"POST /api/jobs/{JOB}/cancel"] = problem(409, "It has ended.", "Retry it.")
    result = run("cancel", JOB)
    assert (result.exit_code, result.stderr) == (1, "error: It has ended.\nRetry it.\n")
