import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from kedja_cli import screen as shown
from kedja_cli.errors import Exit
from kedja_cli.main import app
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, live, problem

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "type": "Kedja.ModelRegistered",
    "time": "2026-03-01T12:00:00Z",
    "data": {"experiment": "digits", "model": "digits", "version": "1"},
}
LEFT = {"id": "poison/q/1", "kind": "poison", "queue": "q", "reason": "why", "at": "2026-03-01T12:00:00Z"}


def test_up_becomes_the_local_stack_with_the_same_options(run: Run, mocker: MockerFixture) -> None:
    become = mocker.patch("os.execve")
    run("up", "--blob-port", "11000", "--help")
    program, words, environment = become.call_args.args
    assert program == sys.executable
    assert words[1:] == ["-m", "local_azure.stack.supervisor", "--blob-port", "11000", "--help"]
    assert environment["PYTHONPATH"]


def test_up_takes_a_checkout(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mocker: MockerFixture) -> None:
    become = mocker.patch("os.execve")
    (tmp_path / "local_azure").mkdir()
    monkeypatch.setattr("kedja_cli.service_commands._ROOT", tmp_path)
    result = run("up")
    assert (result.exit_code, "use a checkout of Kedja" in result.stderr) == (Exit.FAILED, True)
    become.assert_not_called()


def test_pause_and_resume(run: Run, service: FakeService) -> None:
    service.routes |= {"PUT /api/pause": {"paused": True}, "DELETE /api/pause": {"paused": False}}
    assert run("pause", "-m", "maintenance").stdout == "paused: maintenance\n"
    assert service.sent("PUT /api/pause") == [{"reason": "maintenance"}]
    assert json.loads(run("resume", "--json").stdout) == {"paused": False}


def test_events_are_listed_oldest_first(run: Run, service: FakeService) -> None:
    older = {
        **EVENT,
        "id": "0",
        "type": "Kedja.JobFailed",
        "data": {"experiment": "digits", "job": "j", "reason": "why"},
    }
    service.routes["GET /api/events"] = {"items": [EVENT, older], "next": None}
    first, second = run("events").stdout.splitlines()
    assert first.endswith("\tKedja.JobFailed\tdigits\tj\twhy")
    assert second.endswith("\tKedja.ModelRegistered\tdigits\tdigits:1\t")


def follow_two_events(service: FakeService) -> None:
    """Have the service tell an event of before again, then a new one, until Ctrl-C."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    service.routes |= {
        "GET /api/events": {"items": [EVENT], "next": None},
        "GET /api/events/live": [
            live(("start", "1", {})),
            live(("published", "2", EVENT), ("published", "3", {**EVENT, "id": "2"})),
            interrupt,  # type: ignore[list-item] # it answers nothing, and raises
        ],
    }


def test_events_on_a_terminal_are_a_table_that_goes_on(run: Run, service: FakeService, mocker: MockerFixture) -> None:
    mocker.patch("rich.console.Console.is_terminal", new_callable=mocker.PropertyMock, return_value=True)
    follow_two_events(service)
    lines = run("events", "--follow", env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["TIME", *(shown.when(str(EVENT["time"])).split()[0],) * 2]
    assert lines[1].split()[2:] == lines[2].split()[2:] == ["Kedja.ModelRegistered", "digits", "digits:1"]


def test_events_are_followed_as_lines_until_ctrl_c(run: Run, service: FakeService) -> None:
    follow_two_events(service)
    result = run("events", "--follow", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["1", "2"]
    assert result.exit_code == Exit.INTERRUPTED


def test_what_is_left_is_listed(run: Run, service: FakeService) -> None:
    service.routes["GET /api/replay"] = [{"items": [LEFT], "next": None}, {"items": [], "next": None}]
    assert run("replay").stdout.startswith("poison/q/1\tpoison\tq\t")
    assert run("replay").stderr == "nothing is left behind\n"


def test_all_is_replayed_a_hundred_at_a_time(run: Run, service: FakeService) -> None:
    service.routes["POST /api/replay"] = [
        {"replayed": ["a", "b"], "left": []},
        {"replayed": ["c"], "left": []},
        {"replayed": [], "left": []},
    ]
    assert run("replay", "--all").stdout == "3 replayed, 0 left\n"


def test_some_are_replayed_and_what_cannot_be_exits_1(run: Run, service: FakeService) -> None:
    service.routes["POST /api/replay"] = {"replayed": [], "left": [{"id": "a", "reason": "no queue takes it"}]}
    result = run("replay", "a", "--json")
    assert json.loads(result.stdout) == {"replayed": [], "left": [{"id": "a", "reason": "no queue takes it"}]}
    assert result.exit_code == Exit.FAILED
    assert service.sent("POST /api/replay") == [{"ids": ["a"]}]
    assert run("replay", "a", "--all").exit_code == Exit.USAGE


def test_approvals_are_listed_given_and_taken_back(run: Run, service: FakeService) -> None:
    waiting = {"digest": "d1", "experiment": "digits", "drop": "x", "receipt": "/r"}
    service.routes |= {
        "GET /api/approvals": {
            "required": True,
            "items": [{"digest": "d0", "by": "ann", "at": "", "note": None}],
            "waiting": [waiting],
        },
        "POST /api/approvals": {"digest": "d1", "released": [waiting]},
        "DELETE /api/approvals/d1": {},
    }
    assert run("approvals").stdout == "d1\twaiting\tdigits\t\nd0\tapproved\tby ann\t\n"
    assert run("approvals", "--approve", "d1", "-m", "read it").stdout == "approved; 1 drop goes on\n"
    assert service.sent("POST /api/approvals") == [{"digest": "d1", "note": "read it"}]
    assert run("approvals", "--revoke", "d1").stdout == "revoked\n"


def test_approvals_of_many_pages_are_listed_together(run: Run, service: FakeService) -> None:
    waiting = {"digest": "d1", "experiment": "digits", "drop": "x", "receipt": "/r"}
    approved = {"digest": "d0", "by": "ann", "at": "", "note": None}
    service.routes["GET /api/approvals"] = [
        {"required": True, "items": [], "waiting": [waiting], "next": "more"},
        {"required": True, "items": [approved], "waiting": [], "next": None},
    ]
    assert run("approvals").stdout == "d1\twaiting\tdigits\t\nd0\tapproved\tby ann\t\n"
    assert [request.url.query for request in service.requests] == [b"", b"after=more"]


CLUSTER = {"name": "gpu", "state": "Succeeded", "size": "Standard_NC6s_v3", "nodes": 1, "max_nodes": 4, "error": None}


def test_clusters_are_listed_with_the_default_first(run: Run, service: FakeService) -> None:
    other = {**CLUSTER, "name": "a", "nodes": 0, "error": "no quota"}
    service.routes["GET /api/compute"] = {"default": "gpu", "items": [other, CLUSTER]}
    assert run("compute", "list").stdout.splitlines() == [
        "gpu\tdefault\tSucceeded\tStandard_NC6s_v3\t1 of 4\t",
        "a\t\tSucceeded\tStandard_NC6s_v3\t0 of 4\tno quota",
    ]
    assert json.loads(run("compute", "list", "--json").stdout)["default"] == "gpu"


def test_cluster_is_created(run: Run, service: FakeService) -> None:
    service.routes["PUT /api/compute/gpu"] = CLUSTER
    result = run("compute", "create", "gpu", "--size", "Standard_NC6s_v3", "--max-nodes", "4")
    assert result.stdout == "gpu\t\tSucceeded\tStandard_NC6s_v3\t1 of 4\t\n"
    assert service.sent("PUT /api/compute/gpu") == [{"size": "Standard_NC6s_v3", "max_nodes": 4}]
    assert run("compute", "create", "gpu", "--size", "s").exit_code == Exit.USAGE


@pytest.mark.parametrize("words", [("jobs", "--nope"), ("nope",), ("compute", "create"), ("logs",)])
def test_wrong_command_line_is_told_as_json_where_that_is_asked_for(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words, "--json")
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert json.loads(result.stderr)["exit_code"] == Exit.USAGE
    assert "Usage: " in run(*words).stderr


def test_exit_codes_are_the_same_with_json(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    assert run("jobs", "--json").exit_code == 0
    assert run("logs", "nothing", "--json").exit_code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "url", ["localhost:7071", "kedja.example", "ftp://kedja.example", "http://:7071", "http://[x", "http://x:y"]
)
def test_url_without_its_scheme_is_a_wrong_command_line(run: Run, url: str) -> None:
    result = run("jobs", "--url", url)
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert f"{url!r}, which is not the address of a service.\nWrite it with its scheme" in result.stderr


def test_what_the_sign_in_logs_is_not_shown() -> None:
    words = "import logging, kedja_cli.main; logging.getLogger('azure.identity._credentials').warning('ten lines')"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_help_has_no_types_of_pythons(run: Run) -> None:
    groups = {"keys": ["create", "list", "revoke"], "compute": ["create", "list"]}
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    calls = [(), *((name,) for name in names if name != "up"), *((g, name) for g, of in groups.items() for name in of)]
    assert len(calls) > 20
    for words in calls:
        help_text = run(*words, "--help", env={"COLUMNS": "200"}).stdout
        assert "Usage: " in help_text
        assert re.findall(r"<(?:bool|str|int|float|path|list)\b", help_text) == [], words


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("kedja ")
    assert "Exit codes" in run("--help").stdout
    assert run("no-such-command").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "name", ["drop", "status", "jobs", "logs", "submit", "metrics", "models", "download", "doctor", "init"]
)
def test_every_command_takes_the_common_options(run: Run, name: str) -> None:
    shown = run(name, "--help", env={"COLUMNS": "200"}).stdout
    assert all(option in shown for option in ("--url", "--key", "--json"))


def test_key_is_not_shown(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = problem(401, "The key is unknown, expired or revoked.")
    result = run("jobs", env={"KEDJA_KEY": "kedja_1_secret"})
    assert result.exit_code == Exit.NOT_ALLOWED
    assert service.requests[0].headers["X-Kedja-Key"] == "kedja_1_secret"
    assert "secret" not in result.output
    assert "secret" not in run("jobs", "--help", env={"KEDJA_KEY": "kedja_1_secret"}).output


def test_pipe_that_is_closed_is_no_error(run: Run, service: FakeService, mocker: MockerFixture) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    mocker.patch("kedja_cli.screen.Screen.json", side_effect=BrokenPipeError)
    silenced = mocker.patch("kedja_cli.session._silence_stdout")
    assert run("jobs", "--json").exit_code == 0
    silenced.assert_called_once_with()
