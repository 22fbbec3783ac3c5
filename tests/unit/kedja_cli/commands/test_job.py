import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from function_app.ports import job_log as log_page
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


def test_jobs_as_json_are_what_the_service_returned(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [LINE, LINE], "next": "x"}
    assert json.loads(run("jobs", "--json", "-L", "1").stdout) == [LINE]


def test_message_about_no_jobs_is_not_on_stdout(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    result = run("jobs")
    assert (result.stdout, result.stderr) == ("", "there are no such jobs\n")


def test_log_is_read_to_its_end(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs"] = [log("epoch 1\n", 8), log("[bold]\n", 15), log("", 15)]
    assert run("logs", JOB).stdout == "epoch 1\n[bold]\n"
    assert [one.url.params["offset"] for one in service.requests] == ["0", "8", "15"]


def test_log_commands_no_terminal(run: Run, service: FakeService) -> None:
    pieces = [log("\x1b]0;mine\x07one\r", 8), log("\n\x1b[2Jtwo\n", 15), log("", 15)]
    service.routes[f"GET /api/jobs/{JOB}/logs"] = list(pieces)
    assert run("logs", JOB).stdout == "\\x1b]0;mine\\x07one\n\\x1b[2Jtwo\n"
    service.routes[f"GET /api/jobs/{JOB}/logs"] = list(pieces)
    first, second = map(json.loads, run("logs", JOB, "--json").stdout.splitlines())
    assert first["text"] + second["text"] == "\x1b]0;mine\x07one\r\n\x1b[2Jtwo\n"


def test_problem_commands_no_terminal(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs"] = problem(409, "\x1b[2JIt cannot be.", "\x1b[8mDo this.")
    assert run("logs", JOB).stderr == "error: \\x1b[2JIt cannot be.\nDo this.\n"


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


def test_followed_log_continues_from_the_last_byte_until_its_end(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs/live"] = [
        live(("log", "8", {"text": "epoch 1\n"})),
        live(),
        live(("log", "16", {"text": "epoch 2\n"}), ("end", None, {})),
    ]
    assert run("logs", JOB, "--follow").stdout == "epoch 1\nepoch 2\n"
    assert [one.headers.get("Last-Event-ID") for one in service.requests] == [None, "8", "8"]


def served(text: str, limit: int = 1 << 20) -> Callable[[httpx.Request], httpx.Response]:
    """Return what answers with pieces of a log, as the service does: whole lines, offsets in bytes."""
    data = text.encode()

    def answer(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        page = log_page.page(
            data[(start := log_page.start(offset, len(data))) :][:limit],
            offset=start,
            limit=limit,
            size=len(data),
            ended=False,
        )
        return log(page.text, page.next_offset)

    return answer


@pytest.mark.parametrize(
    ("lines", "said"),
    [(0, ""), (1, "line 5\n"), (2, "l\u00efne 4\nline 5\n"), (5, None), (6, None), (1000, None)],
)
@pytest.mark.parametrize("size", [2, 9, 64, 1 << 16])
def test_tail_is_of_so_many_whole_lines(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch, lines: int, said: str | None, size: int
) -> None:
    monkeypatch.setattr("kedja_cli.commands.job._TAIL", size)
    text = "line 1\nline 2\n\x0cline 3\nl\u00efne 4\nline 5\n"
    service.routes[f"GET /api/jobs/{JOB}/logs"] = served(text + "half a li", limit=12)
    result = run("logs", JOB, "--tail", lines)
    assert (result.exit_code, result.stdout) == (0, text.replace("\x0c", "\\x0c") if said is None else said)


def test_tail_of_an_empty_log_is_nothing(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs"] = served("")
    assert run("logs", JOB, "--tail", "10").stdout == ""


@pytest.mark.parametrize(("lines", "said"), [(1, "epoch 2\nepoch 3\n"), (0, "epoch 3\n")])
def test_followed_tail_continues_after_its_last_byte(run: Run, service: FakeService, lines: int, said: str) -> None:
    service.routes |= {
        f"GET /api/jobs/{JOB}/logs": served("epoch 1\nepoch 2\n"),
        f"GET /api/jobs/{JOB}/logs/live": live(("log", "24", {"text": "epoch 3\n"}), ("end", None, {})),
    }
    assert run("logs", JOB, "--follow", "--tail", lines).stdout == said
    assert service.requests[-1].headers["Last-Event-ID"] == "16"


def test_log_of_something_else_asks_for_the_address(run: Run, service: FakeService) -> None:
    service.routes[f"GET /api/jobs/{JOB}/logs"] = httpx.Response(200, html="<html>")
    result = run("logs", JOB)
    assert (result.exit_code, "Is this the address of Kedja?" in result.stderr) == (Exit.FAILED, True)


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_job_is_canceled_and_retried(run: Run, service: FakeService, verb: str) -> None:
    service.routes[f"POST /api/jobs/{JOB}/{verb}"] = {"name": JOB, "status": "canceling"}
    assert run(verb, JOB).stdout == f"{JOB}: canceling\n"
    assert service.requests[0].headers["Idempotency-Key"]


def test_refusal_is_printed_with_what_to_do(run: Run, service: FakeService) -> None:
    service.routes[f"POST /api/jobs/{JOB}/cancel"] = problem(409, "It has ended.", "Retry it.")
    result = run("cancel", JOB)
    assert (result.exit_code, result.stderr) == (1, "error: It has ended.\nRetry it.\n")


SUBMITTED = {"name": JOB, "status": "submitted", "reason": None, "what_to_do": None}
WAITING = {"name": None, "status": "waiting", "reason": "there is no script", "what_to_do": "Drop train.py."}


def test_submission_sends_the_keys_of_a_file_with_the_experiment(
    run: Run, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "more.yaml").write_text("kedja: {arguments: {epochs: 20}}\n")
    service.routes["POST /api/jobs"] = SUBMITTED
    assert run("submit", "digits", "--job", "more.yaml", "--force").stdout == f"{JOB}: submitted\n"
    assert service.sent("POST /api/jobs") == [{"experiment_name": "digits", "kedja": {"arguments": {"epochs": 20}}}]
    assert dict(service.requests[0].url.params) == {"force": "true"}


def test_submission_that_waits_says_for_what(run: Run, service: FakeService) -> None:
    service.routes["POST /api/jobs"] = WAITING
    result = run("submit", "digits")
    assert (result.exit_code, result.stdout) == (0, "digits: waiting\n")
    assert result.stderr == "there is no script\nDrop train.py.\n"
    service.routes["POST /api/jobs"] = {**WAITING, "status": "rejected"}
    assert run("submit", "digits", "--json").exit_code == Exit.FAILED


def test_dry_run_shows_the_job_and_submits_nothing(run: Run, service: FakeService) -> None:
    document = {"command": "python train.py"}
    view = {**WAITING, "status": "submitting", "drop": "3945c53d" * 8, "document": document, "existing": SUBMITTED}
    service.routes["POST /api/jobs"] = view
    result = run("submit", "digits", "--dry-run")
    assert dict(service.requests[0].url.params) == {"dry_run": "true"}
    assert f"already done by  {JOB}" in result.stdout
    assert json.loads(result.stdout[result.stdout.index("{") :]) == document


@pytest.mark.parametrize(("text", "said"), [("- a\n", "has no keys of a job.yaml"), ("a: [", "is not YAML")])
def test_file_without_keys_is_not_submitted(
    run: Run, service: FakeService, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "more.yaml").write_text(text)
    result = run("submit", "digits", "--job", "more.yaml")
    assert (result.exit_code, said in result.stderr, service.requests) == (Exit.FAILED, True, [])


def test_metrics_are_summed_up(run: Run, service: FakeService) -> None:
    def series(*values: float | None) -> list[dict[str, object]]:
        return [{"step": step, "value": value, "time": "2026-03-01T12:01:00Z"} for step, value in enumerate(values, 1)]

    document = {
        "job": JOB,
        "series": {"loss": series(0.5, 0.125, 0.25), "b": series(None)},
        "parameters": {"epochs": "3"},
    }
    service.routes[f"GET /api/jobs/{JOB}/metrics"] = document
    assert run("metrics", JOB, "--points", "10").stdout == "b\t1\tnan\t\t\nloss\t3\t0.25\t0.125\t0.5\n"
    assert service.requests[0].url.params["points"] == "10"
    assert json.loads(run("metrics", JOB, "--json").stdout) == document
